"""How good a model is on generated worlds, beside baselines that see nothing."""

from __future__ import annotations
