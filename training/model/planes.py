"""The planes of the tri-perspective view: where their queries are and what they stand for.

Planes are named by what they show: ``top`` (rows y, columns x; the method's ``hw``), ``side``
(z, y; ``zh``) and ``front`` (x, z; ``wz``). Queries lie row after row, planes in this order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.grid import Axis, NodeGrid


@dataclass(frozen=True)
class Plane:
    """One plane of queries.

    Attributes:
        name: ``top``, ``side`` or ``front``.
        rows: Index of the axis (0 x, 1 y, 2 z) along the rows.
        columns: Index of the axis along the columns.
        swept: Index of the axis that the plane collapses.
    """

    name: str
    rows: int
    columns: int
    swept: int

    def shape(self, grid: NodeGrid) -> tuple[int, int]:
        """Return the number of rows and columns."""
        return grid.nodes[self.rows], grid.nodes[self.columns]


PLANES = (Plane('top', 1, 0, 2), Plane('side', 2, 1, 0), Plane('front', 0, 2, 1))


def planes_of(view: str) -> tuple[Plane, ...]:
    """Return the planes of a ``tpv``, or of a ``bev``: the top plane."""
    return PLANES if view == 'tpv' else PLANES[:1]


def node_indices(plane: Plane, grid: NodeGrid) -> Tensor:
    """Return row and column of every query of a plane ``[Q, 2]``."""
    rows, columns = plane.shape(grid)
    grid_rows, grid_columns = torch.meshgrid(
        torch.arange(rows), torch.arange(columns), indexing='ij'
    )
    return torch.stack([grid_rows, grid_columns], -1).reshape(-1, 2)


def pillar_anchors(plane: Plane, grid: NodeGrid, count: int) -> Tensor:
    """Return the points that a query of the plane stands for ``[Q, count, 3]`` in metres.

    They sweep the collapsed axis evenly in node index, both ends included (method section 2.4b).
    """
    indices = node_indices(plane, grid)
    result = torch.empty(len(indices), count, 3)
    swept = grid.axes[plane.swept]
    result[:, :, plane.swept] = _swept(swept, count)
    result[:, :, plane.rows] = grid.axes[plane.rows].node_coordinates()[indices[:, :1]]
    result[:, :, plane.columns] = grid.axes[plane.columns].node_coordinates()[indices[:, 1:]]
    return result


def _swept(axis: Axis, count: int) -> Tensor:
    if axis.is_linear:
        return torch.linspace(axis.low_m, axis.high_m, count)
    return axis.metres_of(torch.linspace(0, axis.nodes - 1, count, dtype=torch.float64)).float()


def cross_view_references(grid: NodeGrid, view: str, points: int, *, parity: bool) -> Tensor:
    """Return where queries of all planes look on all planes ``[Q, L, points, 2]`` (x, y in 0..1).

    On its own plane a query looks at its own place. On another plane the shared axis keeps the
    query's coordinate and the axis that the query's plane collapses is swept (method section
    2.4a). A node's centre is at ``(index + 0.5) / N``. With ``parity`` it is taken to be at
    ``index / N`` as in the original, half a cell off; in the bird's eye view at
    ``index / (N - 1)``.
    """
    planes = planes_of(view)
    places = []
    for plane in planes:
        indices = node_indices(plane, grid).float()
        fixed = {
            plane.rows: indices[:, :1].expand(-1, points),
            plane.columns: indices[:, 1:].expand(-1, points),
            plane.swept: torch.linspace(0, grid.nodes[plane.swept] - 1, points).expand(
                len(indices), points
            ),
        }
        unit = {
            axis: _unit(index, grid.nodes[axis], view, parity) for axis, index in fixed.items()
        }
        on_planes = [torch.stack([unit[other.columns], unit[other.rows]], -1) for other in planes]
        places.append(torch.stack(on_planes, 1))
    return torch.cat(places)


def _unit(index: Tensor, nodes: int, view: str, parity: bool) -> Tensor:
    if not parity:
        return (index + 0.5) / nodes
    return index / (nodes - 1 if view == 'bev' else nodes)
