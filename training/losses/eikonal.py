"""A distance grows by a metre on a metre (method section 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor


def eikonal_loss(*gradients: Tensor) -> Tensor:
    """Return ``mean (‖g‖ - 1)²`` over all places together.

    Args:
        gradients: Each ``[3, ...]``; the method takes the samples of all rays and all nodes.
    """
    squared = [_squared_error(gradient) for gradient in gradients]
    return torch.stack([s.sum() for s in squared]).sum() / sum(s.numel() for s in squared)


def _squared_error(gradient: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(gradient, dim=0)
    return (length - 1).square()
