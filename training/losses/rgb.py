"""Rendered colour (method section 3.3)."""

from __future__ import annotations

from torch import Tensor

from training.losses.images import on_lattice
from training.losses.photometric import Target
from training.losses.ssim import image_dissimilarity


def color_loss(color: Tensor, target: Target) -> Tensor:
    """Return ``0.15 mean |Ĉ - C| + 0.85 mean D(Ĉ, C)``.

    Args:
        color: Rendered colour ``Ĉ [N, P, 3]``.
        target: The rays' own colours ``C``.
    """
    rendered = on_lattice(color.transpose(1, 2), target.rows, target.columns)
    return image_dissimilarity(rendered, target.image).mean()
