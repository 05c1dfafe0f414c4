"""Put the checkout first on the path: the folder test/selfocc_core must not hide selfocc_core."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# How long an example takes says how busy the machine is.
settings.register_profile('no deadline', deadline=None)
settings.load_profile('no deadline')
