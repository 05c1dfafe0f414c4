"""Depth changes where the image does (method section 3.7; Godard et al. 2017)."""

from __future__ import annotations

from torch import Tensor

from training.losses.images import on_lattice
from training.losses.photometric import Target


def edge_aware_smoothness(depth: Tensor, target: Target) -> Tensor:
    """Return ``mean |∂x d| exp(-|∂x I|₁) + mean |∂y d| exp(-|∂y I|₁)`` on the lattice.

    ``d`` is the depth divided by its mean over the camera, ``∂`` the difference of neighbours.

    Args:
        depth: Rendered ``[N, P]`` in metres.
        target: The rays' own colours, read with the border continued.
    """
    depths = on_lattice(depth[:, None], target.rows, target.columns)
    relative = depths / (depths.mean((2, 3), keepdim=True) + 1e-7)
    return sum_of_means(relative, target.image)


def sum_of_means(depth: Tensor, image: Tensor) -> Tensor:
    """Return the two means of ``edge_aware_smoothness`` for ``[N, 1 and 3, h, w]``."""
    along_x = depth.diff(dim=3).abs() * (-image.diff(dim=3).abs().mean(1, keepdim=True)).exp()
    along_y = depth.diff(dim=2).abs() * (-image.diff(dim=2).abs().mean(1, keepdim=True)).exp()
    return along_x.mean() + along_y.mean()
