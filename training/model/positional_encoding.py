"""Where a query is, told to the attention (method section 2.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.grid import NodeGrid
from training.model.planes import Plane, node_indices


def sinusoids(plane: Plane, grid: NodeGrid, frequencies: int) -> Tensor:
    """Return the encoding of a plane's nodes ``[Q, 2 * frequencies * 2]``.

    With c a coordinate scaled to 0..1 over its range: ``sin(π 2^k c), cos(π 2^k c)`` for
    ``k = -1 .. frequencies - 2``; in order of axis, frequency, function.
    """
    indices = node_indices(plane, grid)
    coordinates = {}
    for place, axis in enumerate((plane.rows, plane.columns)):
        metres = grid.axes[axis].node_coordinates()[indices[:, place]]
        low_m, high_m = grid.axes[axis].low_m, grid.axes[axis].high_m
        coordinates[axis] = (metres - low_m) / (high_m - low_m)
    scaled = torch.stack([coordinates[axis] for axis in sorted(coordinates)], 1)
    angles = scaled[..., None] * (math.pi * 2.0 ** torch.arange(-1, frequencies - 1))
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class PositionalEncoding(nn.Linear):
    """A linear layer over the sinusoids of one plane."""

    nodes: Tensor

    def __init__(self, plane: Plane, grid: NodeGrid, frequencies: int, dim: int) -> None:
        super().__init__(4 * frequencies, dim)
        self.register_buffer('nodes', sinusoids(plane, grid, frequencies), persistent=False)

    def forward(self) -> Tensor:  # type: ignore[override]
        """Return the encoding of the plane's queries ``[Q, dim]``."""
        return super().forward(self.nodes)
