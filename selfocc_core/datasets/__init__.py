"""Readers of public datasets, as far as the vehicle's own code needs them."""

from __future__ import annotations
