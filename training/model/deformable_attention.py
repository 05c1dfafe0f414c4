"""Deformable attention: sample a few places of an image, weigh, add (Zhu et al. 2021)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def deformable_attention(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Gather values at sampling locations.

    Args:
        value: Feature maps ``[B, heads, C, H, W]``.
        locations: Places in the maps ``[B, Q, heads, P, 2]``; 0 and 1 are the edges.
        weights: Attention weights ``[B, Q, heads, P]``.

    Returns:
        ``[B, Q, heads * C]``; outside of the map there are zeros.
    """
    batch, heads, channels, height, width = value.shape
    queries, points = locations.shape[1], locations.shape[3]
    grid = (2 * locations - 1).transpose(1, 2).reshape(batch * heads, queries, points, 2)
    maps = value.reshape(batch * heads, channels, height, width)
    sampled = F.grid_sample(maps, grid, align_corners=False)
    weights = weights.transpose(1, 2).reshape(batch * heads, 1, queries, points)
    attended = (sampled * weights).sum(-1)
    return attended.reshape(batch, heads * channels, queries).transpose(1, 2)
