"""Where rays enter and leave the volume (method section 2.6)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.grid import NodeGrid
from training.rendering.rays import Rays


class Interval(NamedTuple):
    """The part of each ray that lies in the volume, as Euclidean distances from its origin.

    Attributes:
        near: ``[R]`` in metres, at least 0.
        far: ``[R]`` in metres, a little more than ``near`` where the ray misses the volume.
    """

    near: Tensor
    far: Tensor


def intersect_box(rays: Rays, grid: NodeGrid, *, parity: bool = False) -> Interval:
    """Intersect rays with the box of the grid by its three slabs.

    With ``d`` of unit length and ``t_lo = (lo - o)/d``, ``t_hi = (hi - o)/d`` on each axis,
    ``near = max(0, max_axis min(t_lo, t_hi))`` and ``far = min_axis max(t_lo, t_hi)``, at least
    ``near + 1e-6``.

    Args:
        rays: ``[R]`` rays.
        grid: Whose range is the box.
        parity: The original divides by ``d + 1e-6``, which turns rays a little; here only
            directions shorter than 1e-9 are moved away from 0.
    """
    directions = rays.unit_directions()
    low = directions.new_tensor(grid.minimum_m)
    high = directions.new_tensor(grid.maximum_m)
    tiny = torch.where(directions < 0, -1e-9, 1e-9).to(directions)
    exact = torch.where(directions.abs() < 1e-9, tiny, directions)
    inverse = 1 / (directions + 1e-6 if parity else exact)
    to_low, to_high = (low - rays.origins) * inverse, (high - rays.origins) * inverse
    near = torch.minimum(to_low, to_high).amax(-1).clamp(min=0)
    far = torch.maximum(to_low, to_high).amin(-1)
    return Interval(near, torch.maximum(far, near + 1e-6))
