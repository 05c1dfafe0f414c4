"""Structural dissimilarity (method section 3; Wang et al. 2004)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

C1, C2 = 0.01**2, 0.03**2
L1_SHARE, SSIM_SHARE = 0.15, 0.85


def ssim_dissimilarity(one: Tensor, other: Tensor) -> Tensor:
    """Return ``D = clip((1 - SSIM)/2, 0, 1)``, the mean over the colours.

    ``SSIM = (2 μ_a μ_b + C1)(2 σ_ab + C2) / ((μ_a² + μ_b² + C1)(σ_a² + σ_b² + C2))`` with 3x3 box
    means and a reflected border.

    Args:
        one: ``[N, C, h, w]``, also of a lattice of rays.
        other: The same.

    Returns:
        ``[N, h, w]``.
    """
    a, b = (F.pad(image, (1, 1, 1, 1), mode='reflect') for image in (one, other))
    mean_a, mean_b = _box(a), _box(b)
    variance_a, variance_b = _box(a * a) - mean_a**2, _box(b * b) - mean_b**2
    covariance = _box(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    scale = (mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2)
    return (0.5 * (1 - likeness / scale)).clamp(0, 1).mean(1)


def image_dissimilarity(one: Tensor, other: Tensor) -> Tensor:
    """Return ``photo(a, b) = 0.15 |a - b|₁ + 0.85 D(a, b)`` of images ``[N, 3, h, w]``."""
    return L1_SHARE * (one - other).abs().mean(1) + SSIM_SHARE * ssim_dissimilarity(one, other)


def _box(image: Tensor) -> Tensor:
    return F.avg_pool2d(image, 3, 1)
