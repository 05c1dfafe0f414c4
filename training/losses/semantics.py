"""Rendered semantics against the labels of a 2-D network (method section 3.8)."""

from __future__ import annotations

import torch
from torch import Tensor


def read_labels(labels: Tensor, pixels: Tensor, *, parity: bool = False) -> Tensor:
    """Return the label of each ray ``[N, P]``.

    Args:
        labels: Classes ``[N, H, W]`` int64.
        pixels: Of the rays ``[P, 2]``.
        parity: The original takes ``(⌊u⌋, ⌊v⌋)``, here it is the nearest pixel.
    """
    nearest = (pixels if parity else pixels + 0.5).floor().long()
    height, width = labels.shape[-2:]
    u, v = nearest[:, 0].clamp(0, width - 1), nearest[:, 1].clamp(0, height - 1)
    return labels[:, v, u]


def cross_entropy_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return ``mean -log clamp(p_label, 1e-6, 1)``.

    Args:
        probabilities: Rendered ``p [N, P, classes]``.
        labels: ``[N, P]`` int64; what is no class, such as 255, is left out.
    """
    known = _is_class(probabilities, labels)
    cost = -_of_label(probabilities, labels * known).clamp(1e-6, 1).log()
    return (cost * known).sum() / known.sum().clamp(min=1)


def binary_cross_entropy_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over rays and classes of ``-[label] log p - [not label] log(1 - p)``.

    Unlike ``cross_entropy_loss`` it also says what a ray does not meet.

    Args:
        probabilities: Rendered ``p [N, P, classes]``.
        labels: ``[N, P]`` int64; what is no class, such as 255, is left out.
    """
    known = _is_class(probabilities, labels)
    p = probabilities.clamp(1e-6, 1 - 1e-6)
    is_label = torch.zeros_like(p).scatter(-1, (labels * known)[..., None], 1.0)
    cost = -(is_label * p.log() + (1 - is_label) * (1 - p).log()).mean(-1)
    return (cost * known).sum() / known.sum().clamp(min=1)


def _is_class(probabilities: Tensor, labels: Tensor) -> Tensor:
    return (labels >= 0) & (labels < probabilities.shape[-1])


def _of_label(probabilities: Tensor, labels: Tensor) -> Tensor:
    return probabilities.gather(-1, labels[..., None])[..., 0]
