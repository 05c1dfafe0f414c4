"""Deformable attention: look at a few places of some images, weigh, add (Zhu et al. 2021).

    out(q, h) = 1/|V(q)| Σ_{n ∈ V(q)} Σ_{l, p} weight(q, h, l, p) · value_{n, l, h}(place)
    place     = reference(n, q, l, p) · size_l + offset(q, h, l, p)

``V(q)`` are the images (cameras) that see query ``q``. The operator reads values only where they
are needed and keeps no sampled value for the backward pass: it samples again there. On the CPU
it is a compiled loop (``deformable_kernels``), elsewhere torch's bilinear sampler.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.utils.checkpoint import checkpoint

# Optional: without numba the CPU takes the same way as other devices.
_HAS_KERNELS = find_spec('numba') is not None


class Places(NamedTuple):
    """Where queries look before offsets are added.

    Attributes:
        references: ``[B, N, Q, L or 1, P, 2]``; 0 and 1 are the edges of the image.
        visible: Which images a query looks at ``[B, N, Q]``.
        present: Which images there are ``[B, N]``; none: ``visible`` knows it. For export, where
            what depends on the calibration alone stays apart.
    """

    references: Tensor
    visible: Tensor
    present: Tensor | None = None


def deformable_attention(
    value: Tensor,
    sizes: Sequence[tuple[int, int]],
    places: Places,
    offsets: Tensor,
    weights: Tensor,
) -> Tensor:
    """Attend (module docstring has the formula); outside of an image there are zeros.

    Args:
        value: Tokens of all levels of ``N`` images, level after level and row after row
            ``[B, N, T, heads, C]``.
        sizes: Height and width of each of the ``L`` levels.
        places: Reference points and visibility.
        offsets: In pixels (x, y) of the level ``[B, Q, heads, L, P, 2]``.
        weights: Attention weights ``[B, Q, heads, L, P]``.

    Returns:
        ``[B, Q, heads * C]``; zero where no image sees the query. There is no gradient with
        respect to the reference points.
    """
    if value.device.type == 'cpu' and _HAS_KERNELS:
        attended: Tensor = _Compiled.apply(value, list(sizes), *places[:2], offsets, weights)  # type: ignore[no-untyped-call]
        return attended.flatten(2)
    if torch.is_grad_enabled():
        return checkpoint(  # type: ignore[no-any-return]
            _packed, value, sizes, places, offsets, weights, use_reentrant=False
        )
    return _packed(value, sizes, places, offsets, weights)


class _Compiled(torch.autograd.Function):
    """The compiled loops as one node of the autograd graph; it keeps its inputs only."""

    @staticmethod
    def forward(ctx: FunctionCtx, *inputs: object) -> Tensor:
        from training.model import deformable_kernels

        value, sizes, *rest = inputs
        tensors = [_plain(tensor) for tensor in (value, *rest)]
        ctx.save_for_backward(*tensors)
        ctx.sizes = sizes  # type: ignore[attr-defined]
        return deformable_kernels.forward(tensors, sizes)  # type: ignore[arg-type]

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from training.model import deformable_kernels

        tensors = list(ctx.saved_tensors)  # type: ignore[attr-defined]
        value, offsets, weights = deformable_kernels.backward(
            tensors,
            ctx.sizes,  # type: ignore[attr-defined]
            gradients[0].contiguous(),
        )
        return value, None, None, None, offsets, weights


def _plain(tensor: object) -> Tensor:
    assert isinstance(tensor, Tensor)  # noqa: S101 - for the type checker
    return tensor.detach().contiguous()


def _packed(
    value: Tensor,
    sizes: Sequence[tuple[int, int]],
    places: Places,
    offsets: Tensor,
    weights: Tensor,
) -> Tensor:
    """Compute only the image-query pairs that see each other, one image after the other."""
    batch, images, _, heads, channels = value.shape
    rows = []
    for b in range(batch):
        total = value.new_zeros(offsets.shape[1], heads * channels)
        for n in range(images):
            (index,) = torch.nonzero(places.visible[b, n], as_tuple=True)
            attended = _attend(
                value[b, n, None],
                sizes,
                places.references[b, n, index][None],
                offsets[b, index][None],
                weights[b, index][None],
            )
            total = total.index_add(0, index, attended[0])
        rows.append(total / places.visible[b].sum(0).clamp(min=1)[:, None])
    return torch.stack(rows)


def _attend(
    value: Tensor,
    sizes: Sequence[tuple[int, int]],
    references: Tensor,
    offsets: Tensor,
    weights: Tensor,
) -> Tensor:
    """Attend to one image for each sample.

    Args:
        value: ``[B, T, heads, C]``.
        sizes: Of the levels.
        references: ``[B, Q, L or 1, P, 2]``.
        offsets: ``[B, Q, heads, L, P, 2]``.
        weights: ``[B, Q, heads, L, P]``.

    Returns:
        ``[B, Q, heads * C]``.
    """
    batch, _, heads, channels = value.shape
    queries, points = weights.shape[1], weights.shape[4]
    levels = value.split([height * width for height, width in sizes], 1)
    total = value.new_zeros(batch * heads, channels, queries)
    for level, (tokens, (height, width)) in enumerate(zip(levels, sizes, strict=True)):
        reference = references[:, :, min(level, references.shape[2] - 1), None]
        size = value.new_tensor([width, height])
        grid = 2 * (reference + offsets[:, :, :, level] / size) - 1
        grid = grid.transpose(1, 2).reshape(batch * heads, queries, points, 2)
        maps = tokens.permute(0, 2, 3, 1).reshape(batch * heads, channels, height, width)
        sampled = F.grid_sample(maps, grid, align_corners=False)
        share = weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, 1, queries, points)
        total = total + (sampled * share).sum(-1)
    return total.reshape(batch, heads * channels, queries).transpose(1, 2)
