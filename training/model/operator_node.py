"""Deformable attention as one node of an exported graph (``selfocc_core.onnx_operators``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from selfocc_core.onnx_operators import DOMAIN, SURROUND, VERSION
from training.model.deformable_attention import Places


def attention_node(
    value: Tensor,
    sizes: Sequence[tuple[int, int]],
    places: Places,
    offsets: Tensor,
    logits: Tensor,
) -> Tensor:
    """Stand for ``deformable_attention`` with the weights ``softmax(logits)``; exporting only.

    Args:
        value: ``[1, N, T, heads, C]``.
        sizes: Height and width of each of the ``L`` levels.
        places: Reference points ``[1, N, Q, L or 1, P, 2]`` and visibility ``[1, N, Q]``.
        offsets: In pixels of the level ``[1, Q, heads, L, P, 2]``.
        logits: ``[1, Q, heads, L * P]``.

    Returns:
        ``[1, Q, heads * C]``; zeros if it is run.
    """
    if len(value) != 1:
        raise ValueError('a network is exported with a batch of one')
    visible, present = places.visible[0], places.present
    if present is None:
        return _node(value[0], sizes, places, offsets[0], logits[0])[None]
    # Absent images add zeros, and the mean of all is made one of those that are present: so all
    # that says who sees what depends on the calibration alone.
    there = value.squeeze(0) * present[0, :, None, None, None]
    attended = _node(there, sizes, places, offsets[0], logits[0])
    seen = visible.to(value.dtype)
    count = (present[0].to(value.dtype) @ seen).clamp(min=1)
    return (attended * (seen.sum(0).clamp(min=1) / count)[:, None])[None]


def _node(
    value: Tensor,
    sizes: Sequence[tuple[int, int]],
    places: Places,
    offsets: Tensor,
    logits: Tensor,
) -> Tensor:
    attended: Tensor = torch.onnx.ops.symbolic(
        f'{DOMAIN}::{SURROUND}',
        (value, places.references[0], places.visible[0], offsets, logits),
        {'spatial_shapes': [length for size in sizes for length in size]},
        dtype=value.dtype,
        shape=(logits.shape[0], value.shape[2] * value.shape[3]),
        version=VERSION,
    )
    return attended
