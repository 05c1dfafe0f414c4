"""Compiled trilinear look-ups for the CPU: all channels of a corner in one tight loop.

Volumes are ``[Y, X, Z, C]`` here, so that the channels of a node lie side by side.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from training.jit import compiled_fast
from training.threads import run_in_threads

_PARTS_PER_THREAD = 8


class TrilinearLookup(torch.autograd.Function):
    """Values of a volume ``[Y, X, Z, C]`` at node indices ``[P, 3]``, as ``[P, C]``.

    There is no gradient with respect to the indices.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, volume: Tensor, index: Tensor) -> Tensor:
        """Interpolate; indices (x, y, z) outside take the border."""
        ctx.save_for_backward(index)
        ctx.shape = volume.shape  # type: ignore[attr-defined]
        nodes, places = volume.detach().contiguous(), index.detach().contiguous()
        out = nodes.new_zeros(len(places), nodes.shape[3])
        arrays = nodes.numpy(), places.numpy(), out.numpy()
        bounds = _bounds(len(places), _PARTS_PER_THREAD * torch.get_num_threads())
        run_in_threads(_look_up, [(*arrays, *part) for part in itertools.pairwise(bounds)])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        """Spread gradients over the corners; each thread has channels of its own."""
        (index,) = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient = gradients[0].contiguous()
        volume = gradient.new_zeros(ctx.shape)  # type: ignore[attr-defined]
        arrays = volume.numpy(), index.detach().contiguous().numpy(), gradient.numpy()
        bounds = _bounds(volume.shape[3], torch.get_num_threads())
        run_in_threads(_spread, [(*arrays, *part) for part in itertools.pairwise(bounds)])
        return volume, None


def _bounds(count: int, parts: int) -> list[int]:
    return [int(bound) for bound in np.linspace(0, count, min(parts, max(count, 1)) + 1)]


@compiled_fast
def _clamped(position: Any, nodes: int, zero: Any) -> Any:
    """Return a place between the first and the last node; the first for not-a-number."""
    if not position > zero:
        return zero
    return position if position < nodes - 1 else zero + (nodes - 1)


@compiled_fast
def _look_up(volume: Any, index: Any, out: Any, first: int, last: int) -> None:
    """Interpolate at the places ``first`` to ``last``."""
    rows, columns, layers, channels = volume.shape
    zero, one = volume.dtype.type(0), volume.dtype.type(1)
    for place in range(first, last):
        x = _clamped(index[place, 0], columns, zero)
        y = _clamped(index[place, 1], rows, zero)
        z = _clamped(index[place, 2], layers, zero)
        x0, y0, z0 = min(int(x), columns - 2), min(int(y), rows - 2), min(int(z), layers - 2)
        for corner in range(8):
            up_x, up_y, up_z = corner & 1, corner >> 1 & 1, corner >> 2
            share = x - x0 if up_x else one - (x - x0)
            share *= y - y0 if up_y else one - (y - y0)
            share *= z - z0 if up_z else one - (z - z0)
            node, result = volume[y0 + up_y, x0 + up_x, z0 + up_z], out[place]
            for k in range(channels):
                result[k] += share * node[k]


@compiled_fast
def _spread(volume: Any, index: Any, gradient: Any, first: int, last: int) -> None:
    """Add the gradients of the channels ``first`` to ``last`` to the corners of every place."""
    rows, columns, layers, _ = volume.shape
    zero, one = volume.dtype.type(0), volume.dtype.type(1)
    for place in range(index.shape[0]):
        x = _clamped(index[place, 0], columns, zero)
        y = _clamped(index[place, 1], rows, zero)
        z = _clamped(index[place, 2], layers, zero)
        x0, y0, z0 = min(int(x), columns - 2), min(int(y), rows - 2), min(int(z), layers - 2)
        for corner in range(8):
            up_x, up_y, up_z = corner & 1, corner >> 1 & 1, corner >> 2
            share = x - x0 if up_x else one - (x - x0)
            share *= y - y0 if up_y else one - (y - y0)
            share *= z - z0 if up_z else one - (z - z0)
            node, source = volume[y0 + up_y, x0 + up_x, z0 + up_z], gradient[place]
            for k in range(first, last):
                node[k] += share * source[k]
