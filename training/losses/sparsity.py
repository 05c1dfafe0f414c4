"""Nothing is there unless the video says so (method section 3.6).

All forms push negative distances up, that is, discourage occupied volume.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.field import Field
from training.grid import NodeGrid
from training.rendering.sampling import sample_volume


def shifted_lattice(
    grid: NodeGrid, draws: Tensor | None, cell_m: float = 0.4, *, parity: bool = False
) -> Tensor:
    """Return the points of a lattice, each shifted by its own draw.

    ``p = lo + (k + u) cell`` for the ``⌊range/cell⌋`` cells of each axis.

    Args:
        grid: Whose range is filled.
        draws: ``u``, uniform in [0, 1), one for each point and coordinate ``[..., 3]``; see
            ``lattice_cells`` for how many. None takes the middle of each cell.
        cell_m: Distance of the points.
        parity: The original spreads the unshifted points evenly from one end of the range to the
            other, both included, and then shifts: the last ones leave the range.

    Returns:
        ``[Y, X, Z, 3]`` in metres.
    """
    cells = lattice_cells(grid, cell_m)
    ranges = zip(grid.minimum_m, grid.maximum_m, cells, strict=True)
    x, y, z = (
        torch.linspace(low, high, count) if parity else low + cell_m * torch.arange(count)
        for low, high, count in ranges
    )
    grid_y, grid_x, grid_z = torch.meshgrid(y, x, z, indexing='ij')
    corners = torch.stack([grid_x, grid_y, grid_z], -1)
    return corners + cell_m * (0.5 if draws is None else draws.to(corners).view(corners.shape))


def lattice_cells(grid: NodeGrid, cell_m: float = 0.4) -> tuple[int, int, int]:
    """Return the number of points of ``shifted_lattice`` along x, y, z."""
    x, y, z = (
        int((high - low) / cell_m + 1e-6)
        for low, high in zip(grid.minimum_m, grid.maximum_m, strict=True)
    )
    return x, y, z


def uniform_sdf(field: Field, points: Tensor) -> Tensor:
    """Return the distance at points ``[..., 3]``, as ``[...]`` in metres."""
    return sample_volume(field.sdf[None], points, field.grid)[0]


def soft_sparsity_loss(sdf: Tensor) -> Tensor:
    """Return ``mean relu(-s)``: the form of the published configurations.

    Args:
        sdf: At the points of ``shifted_lattice``, or at all nodes.
    """
    return torch.relu(-sdf).mean()


def surface_sparsity_loss(sdf: Tensor, sigma_m: float = 0.1) -> Tensor:
    """Return ``mean sech²(s / 2σ)``: the share of the volume near a surface (StreetSurf).

    Args:
        sdf: At the points of ``shifted_lattice``.
        sigma_m: ``σ`` in metres.
    """
    return torch.cosh((sdf / (2 * sigma_m)).clamp(-40, 40)).pow(-2).mean()


def hard_sparsity_loss(sdf: Tensor, steepness: float = 1.0, allowed: float = 0.2) -> Tensor:
    """Return ``relu(mean σ(-κ s) - 0.2)``: occupied share of the volume beyond what is allowed.

    Args:
        sdf: At the points of ``shifted_lattice``.
        steepness: ``κ`` in 1/m.
        allowed: Share that costs nothing.
    """
    return torch.relu(torch.sigmoid(-steepness * sdf).mean() - allowed)


def adaptive_sparsity_loss(
    sdf: Tensor, sample_depths: Tensor, depth: Tensor, margin_m: float = 4.0
) -> Tensor:
    """Return ``mean relu(-s)`` over samples that lie well behind the rendered surface.

    Args:
        sdf: At the samples of rays ``s [R, S]`` in metres.
        sample_depths: Their depth ``[R, S]`` in metres.
        depth: Rendered depth ``[R]`` in metres.
        margin_m: How far behind it a sample must lie.
    """
    behind = sample_depths > depth.detach()[:, None] + margin_m
    return (torch.relu(-sdf) * behind).sum() / behind.sum().clamp(min=1)
