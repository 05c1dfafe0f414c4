"""Grids of nodes: metres to node index and back (SelfOcc's linear and non-linear mappings).

Configurations hold grids, so torch is imported only where tensors are made: options can be shown,
and threads configured, before it is loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from selfocc_core.errors import SelfOccError

if TYPE_CHECKING:
    from torch import Tensor


_ROUNDING_M = 1e-9


@dataclass(frozen=True)
class Axis:
    """Nodes along one axis: an inner zone of equal cells, then an outer zone.

    Both ends of the range carry a node, so that ``n`` cells have ``n + 1`` nodes.
    """

    inner_cells: int
    """Cells of the inner zone, on each side."""
    inner_m: float
    """Length of the inner zone, on each side."""
    outer_cells: int = 0
    """Cells of the outer zone, on each side."""
    outer_m: float = 0.0
    """Length of the outer zone, on each side."""
    start_m: float = 0.0
    """Where the inner zone begins: the middle of a symmetric axis, the low end of another."""
    symmetric: bool = True
    """Whether the zones are mirrored at ``start_m``; otherwise they extend upwards only."""
    outer_growth: Literal['none', 'linear'] = 'none'
    """Whether the cells of the outer zone have equal length, or grow by the same amount from one
    to the next, beginning with the inner length (the original calls it ``linear_upscale``)."""

    def __post_init__(self) -> None:
        if self.inner_cells < 1 or self.inner_m <= 0:
            raise SelfOccError(f'the inner zone of an axis is empty: {self}')
        if (self.outer_cells > 0) != (self.outer_m > 0):
            raise SelfOccError(f'an outer zone needs both cells and metres: {self}')
        if self.outer_growth == 'linear' and self.outer_cells and self._growth_m < -_ROUNDING_M:
            raise SelfOccError(f'cells that grow do not fit in the outer zone: {self}')

    @staticmethod
    def between(low_m: float, high_m: float, nodes: int) -> Axis:
        """Return the axis of equal cells with a node at each end of a range."""
        return Axis(nodes - 1, high_m - low_m, start_m=low_m, symmetric=False)

    @property
    def cells(self) -> int:
        """Cells on one side."""
        return self.inner_cells + self.outer_cells

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return (2 if self.symmetric else 1) * self.cells + 1

    @property
    def low_m(self) -> float:
        """Coordinate of the first node."""
        return self.start_m - (self.inner_m + self.outer_m if self.symmetric else 0.0)

    @property
    def high_m(self) -> float:
        """Coordinate of the last node."""
        return self.start_m + self.inner_m + self.outer_m

    @property
    def is_linear(self) -> bool:
        """Whether all cells have the same length."""
        return self.outer_cells == 0

    def subdivided(self, parts: int) -> Axis:
        """Return the axis with every cell cut into equal parts.

        Raises:
            SelfOccError: The cells of the axis grow.
        """
        if parts == 1:
            return self
        if self.outer_cells and self.outer_growth != 'none':
            raise SelfOccError(f'an axis whose cells grow cannot be subdivided: {self}')
        return replace(
            self, inner_cells=self.inner_cells * parts, outer_cells=self.outer_cells * parts
        )

    def index_of(self, metres: Tensor) -> Tensor:
        """Return the continuous node index of coordinates; 0 is the first node."""
        distance = metres - self.start_m
        if not self.symmetric:
            return self._cells_of(distance)
        return self.cells + distance.sign() * self._cells_of(distance.abs())

    def metres_of(self, index: Tensor) -> Tensor:
        """Return the coordinates of continuous node indices, the inverse of ``index_of``."""
        if not self.symmetric:
            return self.start_m + self._distance_of(index)
        cells = index - self.cells
        return self.start_m + cells.sign() * self._distance_of(cells.abs())

    def node_coordinates(self) -> Tensor:
        """Return the coordinates of all nodes ``[nodes]`` in metres."""
        import torch

        if self.is_linear:  # exact at both ends
            return torch.linspace(self.low_m, self.high_m, self.nodes)
        return self.metres_of(torch.arange(self.nodes, dtype=torch.float64)).float()

    @property
    def _inner_cell_m(self) -> float:
        return self.inner_m / self.inner_cells

    @property
    def _growth_m(self) -> float:
        """Return δ: outer cell k has the length u + kδ, and all of them fill the outer zone."""
        excess_m = self.outer_m - self.outer_cells * self._inner_cell_m
        return 2 * excess_m / (self.outer_cells * (self.outer_cells + 1))

    def _cells_of(self, distance: Tensor) -> Tensor:
        inner = distance / self._inner_cell_m
        if self.is_linear:
            return inner
        outer = (distance - self.inner_m).clamp(min=0)
        return inner.where(
            distance <= self.inner_m, self.inner_cells + self._outer_cells_of(outer)
        )

    def _outer_cells_of(self, distance: Tensor) -> Tensor:
        """Return how many outer cells lie within a distance, as a continuous number."""
        cell_m, growth_m = self._inner_cell_m, self._growth_m
        if self.outer_growth == 'none':
            return distance * (self.outer_cells / self.outer_m)
        if math.isclose(growth_m, 0, abs_tol=_ROUNDING_M):
            return distance / cell_m
        half = 0.5 + cell_m / growth_m
        whole = ((half * half + 2 * distance / growth_m).clamp(min=0).sqrt() - half).floor()
        whole = whole.clamp(0, self.outer_cells - 1)
        passed_m = whole * cell_m + 0.5 * growth_m * whole * (whole + 1)
        return whole + (distance - passed_m) / (cell_m + (whole + 1) * growth_m)

    def _distance_of(self, cells: Tensor) -> Tensor:
        inner = cells * self._inner_cell_m
        if self.is_linear:
            return inner
        outer = (cells - self.inner_cells).clamp(min=0)
        return inner.where(
            cells <= self.inner_cells, self.inner_m + self._outer_distance_of(outer)
        )

    def _outer_distance_of(self, cells: Tensor) -> Tensor:
        if self.outer_growth == 'none':
            return cells * (self.outer_m / self.outer_cells)
        whole = cells.floor().clamp(0, self.outer_cells - 1)
        cell_m, growth_m = self._inner_cell_m, self._growth_m
        passed_m = whole * cell_m + 0.5 * growth_m * whole * (whole + 1)
        return passed_m + (cells - whole) * (cell_m + (whole + 1) * growth_m)


@dataclass(frozen=True)
class NodeGrid:
    """Nodes at which the field is decoded. Volumes over it are ``[..., Y, X, Z]``.

    The method calls the axes W (x), H (y) and Z (z).
    """

    x: Axis = Axis(32, 25.6)
    """Nodes along x."""
    y: Axis = Axis(32, 25.6)
    """Nodes along y."""
    z: Axis = Axis(8, 6.4, start_m=-2.0, symmetric=False)
    """Nodes along z."""

    @staticmethod
    def box(
        minimum_m: tuple[float, float, float],
        maximum_m: tuple[float, float, float],
        nodes: tuple[int, int, int],
    ) -> NodeGrid:
        """Return a grid of equal cells between two corners."""
        return NodeGrid(
            *(Axis.between(*axis) for axis in zip(minimum_m, maximum_m, nodes, strict=True))
        )

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        """Axes x, y, z."""
        return self.x, self.y, self.z

    @property
    def nodes(self) -> tuple[int, int, int]:
        """Number of nodes along x, y, z."""
        return self.x.nodes, self.y.nodes, self.z.nodes

    @property
    def minimum_m(self) -> tuple[float, float, float]:
        """Low corner (x, y, z)."""
        return self.x.low_m, self.y.low_m, self.z.low_m

    @property
    def maximum_m(self) -> tuple[float, float, float]:
        """High corner (x, y, z)."""
        return self.x.high_m, self.y.high_m, self.z.high_m

    @property
    def is_linear(self) -> bool:
        """Whether every axis has cells of one length."""
        return all(axis.is_linear for axis in self.axes)

    def subdivided(self, parts_xy: int, parts_z: int) -> NodeGrid:
        """Return the grid with every cell cut into equal parts along its axes."""
        x, y = self.x.subdivided(parts_xy), self.y.subdivided(parts_xy)
        return NodeGrid(x, y, self.z.subdivided(parts_z))

    def to_unit(self, points: Tensor) -> Tensor:
        """Map points ``[..., 3]`` so that the first and last node of each axis become -1 and 1."""
        import torch

        if self.is_linear:
            low, high = points.new_tensor(self.minimum_m), points.new_tensor(self.maximum_m)
            return 2 * (points - low) / (high - low) - 1
        units = (
            2 * axis.index_of(points[..., i]) / (axis.nodes - 1) - 1
            for i, axis in enumerate(self.axes)
        )
        return torch.stack(list(units), -1)

    def node_positions(self) -> Tensor:
        """Return the positions of all nodes ``[Y, X, Z, 3]`` in metres."""
        import torch

        x, y, z = (axis.node_coordinates() for axis in self.axes)
        grid_y, grid_x, grid_z = torch.meshgrid(y, x, z, indexing='ij')
        return torch.stack([grid_x, grid_y, grid_z], -1)
