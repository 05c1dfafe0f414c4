"""How good the occupancy and the depth are, and a report that says so."""

from __future__ import annotations
