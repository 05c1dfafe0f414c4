"""Colour of the field (method section 2.5)."""

from __future__ import annotations

import torch
from torch import Tensor

SH_BAND_0 = 0.28209479177387814
"""Spherical harmonic of degree 0, ``1 / (2 sqrt π)``: colour that is the same from all sides."""


def color_of(raw: Tensor) -> Tensor:
    """Return ``relu(0.28209479 c + ½)`` of raw colour channels, any shape."""
    return torch.relu(SH_BAND_0 * raw + 0.5)
