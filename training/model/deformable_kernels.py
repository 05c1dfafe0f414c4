"""Compiled loops of deformable attention for the CPU, one sample at a time.

Arrays are those of ``deformable_attention`` without the batch axis. Work is split into ranges of
queries (forward) and into heads (backward, where queries of one head add to the same values), so
that threads never write to the same place.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.jit import compiled_fast
from training.threads import run_in_threads

_PARTS_PER_THREAD = 8


def forward(inputs: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Return the attended values ``[B, Q, heads, C]``.

    Args:
        inputs: Value, references, visibility, offsets and weights, all contiguous.
        sizes: Height and width of the levels.
    """
    value, _, visible, offsets, _ = inputs
    batch, _, _, heads, channels = value.shape
    queries = offsets.shape[1]
    out = value.new_zeros(batch, queries, heads, channels)
    arrays = [tensor.numpy() for tensor in (*inputs, _scale(value, visible), out)]
    bounds = np.linspace(0, queries, _PARTS_PER_THREAD * torch.get_num_threads() + 1).astype(int)
    tasks = [
        (*(array[b] for array in arrays), _levels(sizes), first, last)
        for b in range(batch)
        for first, last in itertools.pairwise(bounds)
    ]
    run_in_threads(_attend, tasks)
    return out


def backward(
    inputs: Sequence[Tensor], sizes: Sequence[tuple[int, int]], gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of value, offsets and weights.

    Args:
        inputs: As of ``forward``.
        sizes: Height and width of the levels.
        gradient: Of the output ``[B, Q, heads, C]``, contiguous.
    """
    value, _, visible, offsets, weights = inputs
    results = torch.zeros_like(value), torch.zeros_like(offsets), torch.zeros_like(weights)
    tensors = (*inputs, _scale(value, visible), gradient, *results)
    arrays = [tensor.numpy() for tensor in tensors]
    tasks = [
        (*(array[b] for array in arrays), _levels(sizes), head)
        for b in range(len(value))
        for head in range(value.shape[3])
    ]
    run_in_threads(_attend_backward, tasks)
    return results


def _scale(value: Tensor, visible: Tensor) -> Tensor:
    """Return one over the number of images that see each query ``[B, Q]``."""
    return visible.sum(1).clamp(min=1).to(value.dtype).reciprocal()


def _levels(sizes: Sequence[tuple[int, int]]) -> Any:
    """Return height, width and first token of each level ``[L, 3]``."""
    counts = [height * width for height, width in sizes]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.column_stack([np.array(sizes), starts]).astype(np.int64)


@compiled_fast
def _inside(x: Any, y: Any, level: Any) -> Any:
    """Whether any of the four pixels around a place lies in the level; not for not-a-number."""
    return x > -1 and y > -1 and x < level[1] and y < level[0]


@compiled_fast
def _corners(x: Any, y: Any, level: Any, one: Any) -> Any:
    """Return the tokens around a place (up-left, up-right, low-left, low-right), its shares.

    Shares are of left, right, upper and lower pixels; those of pixels outside are zero. The last
    four numbers say which of them lie inside.
    """
    height, width, start = level[0], level[1], level[2]
    left, top = int(np.floor(x)), int(np.floor(y))
    zero = one - one
    in_left, in_right = one if left >= 0 else zero, one if left + 1 < width else zero
    in_up, in_low = one if top >= 0 else zero, one if top + 1 < height else zero
    upper = start + max(top, 0) * width
    lower = start + min(top + 1, height - 1) * width
    left, right = max(left, 0), min(left + 1, width - 1)
    across, down = x - np.floor(x), y - np.floor(y)
    tokens = (upper + left, upper + right, lower + left, lower + right)
    shares = ((one - across) * in_left, across * in_right, (one - down) * in_up, down * in_low)
    return tokens, shares, (in_left, in_right, in_up, in_low)


@compiled_fast
def _attend(
    value: Any, references: Any, visible: Any, offsets: Any, weights: Any, scale: Any, out: Any,
    levels: Any, first: int, last: int,
) -> None:  # fmt: skip
    """Forward of the queries ``first`` to ``last``."""
    half, one = value.dtype.type(0.5), value.dtype.type(1)
    for query in range(first, last):
        for image in range(value.shape[0]):
            if not visible[image, query]:
                continue
            for level in range(levels.shape[0]):
                row = level if references.shape[2] > 1 else 0
                for point in range(weights.shape[3]):
                    reference = references[image, query, row, point]
                    center_x = reference[0] * levels[level, 1] - half
                    center_y = reference[1] * levels[level, 0] - half
                    for head in range(value.shape[2]):
                        x = center_x + offsets[query, head, level, point, 0]
                        y = center_y + offsets[query, head, level, point, 1]
                        if not _inside(x, y, levels[level]):
                            continue
                        tokens, shares, _ = _corners(x, y, levels[level], one)
                        weight = weights[query, head, level, point] * scale[query]
                        up, low = shares[2] * weight, shares[3] * weight
                        a, b = shares[0] * up, shares[1] * up
                        c, d = shares[0] * low, shares[1] * low
                        v00, v01 = value[image, tokens[0], head], value[image, tokens[1], head]
                        v10, v11 = value[image, tokens[2], head], value[image, tokens[3], head]
                        result = out[query, head]
                        for k in range(value.shape[3]):
                            result[k] += a * v00[k] + b * v01[k] + c * v10[k] + d * v11[k]


@compiled_fast
def _attend_backward(
    value: Any, references: Any, visible: Any, offsets: Any, weights: Any, scale: Any,
    gradient: Any, d_value: Any, d_offsets: Any, d_weights: Any, levels: Any, head: int,
) -> None:  # fmt: skip
    """Backward of one head: where ``_attend`` read, add."""
    half, one = value.dtype.type(0.5), value.dtype.type(1)
    for query in range(weights.shape[0]):
        for image in range(value.shape[0]):
            if not visible[image, query]:
                continue
            for level in range(levels.shape[0]):
                row = level if references.shape[2] > 1 else 0
                for point in range(weights.shape[3]):
                    reference = references[image, query, row, point]
                    offset = offsets[query, head, level, point]
                    x = reference[0] * levels[level, 1] - half + offset[0]
                    y = reference[1] * levels[level, 0] - half + offset[1]
                    if not _inside(x, y, levels[level]):
                        continue
                    place = _corners(x, y, levels[level], one)
                    weight = weights[query, head, level, point]
                    _add_to_value(
                        d_value, image, head, place, gradient, query, weight * scale[query]
                    )
                    d_weight, d_x, d_y = _slopes(value, image, head, place, gradient, query)
                    d_weights[query, head, level, point] += d_weight * scale[query]
                    d_offsets[query, head, level, point, 0] += d_x * weight * scale[query]
                    d_offsets[query, head, level, point, 1] += d_y * weight * scale[query]


@compiled_fast
def _slopes(value: Any, image: int, head: int, place: Any, gradient: Any, query: int) -> Any:
    """Return the derivatives by the attention weight and by x and y of a place."""
    (t00, t01, t10, t11), (left, right, up, low), (in_left, in_right, in_up, in_low) = place
    d00 = d01 = d10 = d11 = left - left
    v00, v01 = value[image, t00, head], value[image, t01, head]
    v10, v11 = value[image, t10, head], value[image, t11, head]
    g = gradient[query, head]
    for k in range(value.shape[3]):
        d00 += g[k] * v00[k]
        d01 += g[k] * v01[k]
        d10 += g[k] * v10[k]
        d11 += g[k] * v11[k]
    d_weight = up * (left * d00 + right * d01) + low * (left * d10 + right * d11)
    d_x = up * (in_right * d01 - in_left * d00) + low * (in_right * d11 - in_left * d10)
    d_y = left * (in_low * d10 - in_up * d00) + right * (in_low * d11 - in_up * d01)
    return d_weight, d_x, d_y


@compiled_fast
def _add_to_value(
    d_value: Any, image: int, head: int, place: Any, gradient: Any, query: int, weight: Any
) -> None:
    tokens, (left, right, up, low), _ = place
    shares = (left * up, right * up, left * low, right * low)
    for corner in range(4):
        token, share = tokens[corner], shares[corner] * weight
        target, source = d_value[image, token, head], gradient[query, head]
        for k in range(d_value.shape[3]):
            target[k] += share * source[k]
