"""Find the small inputs that other tests make."""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]

sys.path += [str(_TESTS / folder) for folder in ('', 'training', 'training/data')]
