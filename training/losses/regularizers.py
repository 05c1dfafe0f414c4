"""What a signed distance field of a street must obey (paper section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from training.model.selfocc import Field
from training.presets import NodeGrid
from training.rendering.sampling import sample_volume


def gradients(sdf: Tensor, grid: NodeGrid) -> Tensor:
    """Return central differences ``[3, Y-2, X-2, Z-2]`` (x, y, z) of a volume ``[Y, X, Z]``."""
    dx, dy, dz = grid.spacing_m()
    core = slice(1, -1)
    along_y = (sdf[2:, core, core] - sdf[:-2, core, core]) / (2 * dy)
    along_x = (sdf[core, 2:, core] - sdf[core, :-2, core]) / (2 * dx)
    along_z = (sdf[core, core, 2:] - sdf[core, core, :-2]) / (2 * dz)
    return torch.stack([along_x, along_y, along_z])


def eikonal_loss(gradient: Tensor) -> Tensor:
    """Penalise gradients ``[3, ...]`` whose length is not 1: ``mean (|g| - 1)²``."""
    return ((gradient.square().sum(0) + 1e-8).sqrt() - 1).square().mean()


def hessian_loss(gradient: Tensor, grid: NodeGrid) -> Tensor:
    """Penalise curvature: mean absolute central difference of gradients ``[3, Y, X, Z]``."""
    second = torch.stack([gradients(component, grid) for component in gradient])
    return second.abs().mean()


def sparsity_loss(sdf: Tensor) -> Tensor:
    """Discourage occupied volume where nothing asks for it: ``mean relu(-s)``."""
    return torch.relu(-sdf).mean()


def swept_volume_loss(field: Field, points: Tensor, clearance_m: float = 0.6) -> Tensor:
    """Keep free what the vehicle itself drove through.

    Args:
        field: The decoded field.
        points: Points ``[P, 3]`` inside the vehicle's body at its recorded poses, in the ego
            frame; at least ``clearance_m`` above the ground.
        clearance_m: Signed distance that is enough.
    """
    sdf = sample_volume(field.sdf[None], points, field.grid)[0]
    return torch.relu(clearance_m - sdf).mean()
