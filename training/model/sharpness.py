"""How sharp surfaces are: NeuS's ``inv_s`` as a learned number (method section 0.7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Sharpness(nn.Module):
    """``inv_s = exp(10 v)`` in 1/m with v from 0.1, so from 2.72."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor([start]).log() / 10)

    def forward(self) -> Tensor:
        """Return ``inv_s`` ``[1]``, kept within about 1e-6 and 1e6."""
        return (10 * self.exponent.clamp(-1.38, 1.38)).exp()
