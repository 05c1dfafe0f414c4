"""Put the checkout first on the path: the folder test/selfocc_core must not hide selfocc_core."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
