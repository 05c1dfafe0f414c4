"""Gradient and Hessian of the signed distance by finite differences (method section 2.5).

They are volumes over the same nodes, looked up like the distance itself, so that neither the
cosine of the NeuS weights nor the Eikonal loss needs a second derivative of the network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.grid import Axis, NodeGrid


def gradient_volume(sdf: Tensor, grid: NodeGrid, *, parity: bool = False) -> Tensor:
    """Return central differences of a volume along x, y and z.

    ``g_a[i] = (s[i+1] - s[i-1]) / (p[i+1] - p[i-1])`` with the node positions ``p`` of axis ``a``;
    at the border the missing neighbour is the border node itself, which is the one-sided slope.

    Args:
        sdf: ``[..., Y, X, Z]`` in metres.
        grid: Where the nodes are.
        parity: The original divides by two spacings everywhere, which halves the slope at the
            border and takes every axis for linear.

    Returns:
        ``[3, ..., Y, X, Z]``, in the order x, y, z.
    """
    return torch.stack([
        _slope(sdf, dimension, axis, parity=parity) for dimension, axis in _axes(grid)
    ])  # fmt: skip


def hessian_volume(
    sdf: Tensor, gradient: Tensor, grid: NodeGrid, *, compact: bool = False, parity: bool = False
) -> Tensor:
    """Return the second derivatives ``H_ab = D_b D_a s``.

    ``D`` is the operator of ``gradient_volume``; applied twice it spans four cells.

    Args:
        sdf: ``[Y, X, Z]`` in metres.
        gradient: Its gradient volume ``[3, Y, X, Z]``.
        grid: Where the nodes are.
        compact: Take ``(s[i+1] - 2 s[i] + s[i-1]) / Δ²`` on the diagonal, which spans two.
        parity: As in ``gradient_volume``; of the compact form, the original repeats the border
            node beyond the border, here a border node takes the value of its inner neighbour.

    Returns:
        ``[3, 3, Y, X, Z]``.
    """
    hessian = gradient_volume(gradient, grid, parity=parity).transpose(0, 1)
    if not compact:
        return hessian
    diagonal = [_curvature(sdf, dim, axis, parity=parity) for dim, axis in _axes(grid)]
    rows = [
        torch.stack([diagonal[a] if a == b else hessian[a, b] for b in range(3)]) for a in range(3)
    ]
    return torch.stack(rows)


def _axes(grid: NodeGrid) -> tuple[tuple[int, Axis], ...]:
    """Return the dimension of ``[..., Y, X, Z]`` that belongs to x, y and z."""
    return (-2, grid.x), (-3, grid.y), (-1, grid.z)


def _slope(values: Tensor, dimension: int, axis: Axis, *, parity: bool) -> Tensor:
    low, high = _neighbours(values, dimension)
    if parity:
        return (high - low) / (2 * _spacing_m(axis))
    below, above = _neighbours(_positions(values, axis), 0)
    return (high - low) / _along(above - below, dimension)


def _curvature(values: Tensor, dimension: int, axis: Axis, *, parity: bool) -> Tensor:
    low, high = _neighbours(values, dimension)
    if parity:
        return (high - 2 * values + low) / _spacing_m(axis) ** 2
    steps = _positions(values, axis).diff()
    slopes = values.diff(dim=dimension) / _along(steps, dimension)
    inner = slopes.diff(dim=dimension) / _along(0.5 * (steps[1:] + steps[:-1]), dimension)
    first, last = inner.narrow(dimension, 0, 1), inner.narrow(dimension, axis.nodes - 3, 1)
    return torch.cat([first, inner, last], dimension)


def _neighbours(values: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """Return the values one node below and one above, the border's own beyond the border."""
    count = values.shape[dimension]
    first, last = values.narrow(dimension, 0, 1), values.narrow(dimension, count - 1, 1)
    low = torch.cat([first, values.narrow(dimension, 0, count - 1)], dimension)
    high = torch.cat([values.narrow(dimension, 1, count - 1), last], dimension)
    return low, high


def _positions(values: Tensor, axis: Axis) -> Tensor:
    return axis.node_coordinates().to(values)


def _spacing_m(axis: Axis) -> float:
    return (axis.high_m - axis.low_m) / (axis.nodes - 1)


def _along(values: Tensor, dimension: int) -> Tensor:
    """Let values ``[n]`` broadcast along one of the last three dimensions."""
    return values.view(*(-1 if d == dimension else 1 for d in (-3, -2, -1)))
