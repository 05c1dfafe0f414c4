"""Public datasets, read without their development kits, and written as bags."""

from __future__ import annotations
