"""Look-ups in the field between its nodes."""

from __future__ import annotations

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from training.grid import NodeGrid

# Signed distance at the floor from which solid ground begins below it, at most.
_FLOOR_CAP_M = 0.2

# Optional: without numba the CPU takes the same way as other devices.
_HAS_KERNELS = find_spec('numba') is not None


def sample_volume(
    volume: Tensor, points: Tensor, grid: NodeGrid, *, parity: bool = False
) -> Tensor:
    """Interpolate trilinearly, border values outside.

    Args:
        volume: Values at the nodes ``[C, Y, X, Z]``.
        points: Ego points ``[..., 3]``.
        grid: Where the nodes are.
        parity: Round as the original does, to the last digits: normals of rays on which next to
            nothing accumulates magnify them.

    Returns:
        ``[C, ...]``.
    """
    if volume.shape[1:] != (grid.y.nodes, grid.x.nodes, grid.z.nodes):
        raise ValueError(
            f'a volume {list(volume.shape)} is not one of {grid.nodes} nodes (x, y, z)'
        )
    index = torch.stack([axis.index_of(points[..., i]) for i, axis in enumerate(grid.axes)], -1)
    if volume.device.type == 'cpu' and _HAS_KERNELS and not (parity or points.requires_grad):
        return _compiled_lookup(volume, index)
    unit = index * (2 / (index.new_tensor(grid.nodes) - 1)) - 1
    # grid_sample wants the last axis of the volume first.
    order = unit[..., [2, 0, 1]].view(1, -1, 1, 1, 3)
    sampled = F.grid_sample(volume[None], order, align_corners=True, padding_mode='border')
    return sampled.view(len(volume), *points.shape[:-1])


def _compiled_lookup(volume: Tensor, index: Tensor) -> Tensor:
    from training.rendering.sampling_kernels import TrilinearLookup

    nodes = volume.permute(1, 2, 3, 0)
    sampled: Tensor = TrilinearLookup.apply(nodes, index.view(-1, 3))  # type: ignore[no-untyped-call]
    return sampled.view(*index.shape[:-1], -1).movedim(-1, 0)


def sample_by_gather(volume: Tensor, points: Tensor, grid: NodeGrid) -> Tensor:
    """Interpolate one channel ``[Y, X, Z]`` at points ``[..., 3]``, like ``sample_volume``.

    For export: ONNX has a 3-D sampler only from opset 20 on, TensorRT has none, and one gather of
    cells, each with its eight corners, is faster than a 2-D sampler over whole columns.
    """
    last = torch.tensor([nodes - 1.0 for nodes in grid.nodes])
    position = torch.minimum((grid.to_unit(points) + 1) * (0.5 * last), last).clamp(min=0)
    corner = torch.minimum(position.floor(), last - 1)
    x, y, z = corner.to(torch.int64).flatten(0, -2).unbind(-1)
    cells = _cells(volume).index_select(0, (y * volume.shape[1] + x) * volume.shape[2] + z)
    sampled: Tensor = (cells * _corner_shares((position - corner).flatten(0, -2))).sum(-1)
    return sampled.view(points.shape[:-1])


def _cells(volume: Tensor) -> Tensor:
    """Return the eight corners of the cell that begins at each node ``[Y * X * Z, 8]``."""
    _, width, depth = volume.shape
    flat = volume.flatten()
    offsets = [(y * width + x) * depth + z for y in (0, 1) for x in (0, 1) for z in (0, 1)]
    padded = F.pad(flat, (0, offsets[-1]))
    return torch.stack([padded[offset : offset + len(flat)] for offset in offsets], -1)


def _corner_shares(upper: Tensor) -> Tensor:
    """Return the share of each corner ``[P, 8]`` from those of the upper sides ``[P, 3]``."""
    x, y, z = ((1 - part, part) for part in upper.unbind(-1))
    columns = [share_y * share_x for share_y in y for share_x in x]
    return torch.stack([column * share_z for column in columns for share_z in z], -1)


def extended_sdf(sampled: Tensor, points: Tensor, grid: NodeGrid) -> Tensor:
    """Continue the signed distance below the volume's floor as solid ground.

    Without it, rays that leave through the floor would count as seeing the sky. Within the
    volume the distance is as it is: a cap there would stop every gradient in free space.
    """
    below_m = (grid.minimum_m[2] - points[..., 2]).clamp(min=0)
    solid = torch.minimum(sampled, sampled.clamp(max=_FLOOR_CAP_M) - below_m)
    return solid.where(below_m > 0, sampled)


def inside(points: Tensor, grid: NodeGrid) -> Tensor:
    """Return which points ``[..., 3]`` lie above or below the grid's rectangle, or in it.

    The floor is no limit, see ``extended_sdf``; the sides and the ceiling are.
    """
    low, high = torch.tensor(grid.minimum_m), torch.tensor(grid.maximum_m)
    sides = (points[..., :2] >= low[:2]) & (points[..., :2] <= high[:2])
    return sides.all(-1) & (points[..., 2] <= high[2])
