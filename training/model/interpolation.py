"""Linear interpolation between nodes as a matrix, which any runtime multiplies fast."""

from __future__ import annotations

import torch
from torch import Tensor


def interpolation(index: Tensor, nodes: int) -> Tensor:
    """Return the matrix ``[places, nodes]`` for places at node indices ``[places]``."""
    distance = (index[:, None] - torch.arange(nodes, device=index.device)).abs()
    return (1 - distance).clamp(min=0)
