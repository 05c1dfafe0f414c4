"""Rays through pixels, in the ego frame of the input frame set."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Rays(NamedTuple):
    """Rays with unit depth: ``origin + z * direction`` has depth z along the optical axis.

    Attributes:
        origins: ``[R, 3]``.
        directions: ``[R, 3]``, not of unit length.
    """

    origins: Tensor
    directions: Tensor


def cast_rays(pixels: Tensor, image_from_ego: Tensor) -> Rays:
    """Cast rays through pixels ``[R, 2]`` of cameras ``[R, 3, 4]``.

    With ``image_from_ego = [M | p]`` a pixel's ray is ``-M⁻¹p + z M⁻¹(u, v, 1)``.
    """
    inverse = inverse_3x3(image_from_ego[..., :3])
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)
    directions = (inverse * homogeneous[..., None, :]).sum(-1)
    origins = -(inverse * image_from_ego[..., None, :, 3]).sum(-1)
    return Rays(origins, directions)


def inverse_3x3(matrix: Tensor) -> Tensor:
    """Invert matrices ``[..., 3, 3]`` by their adjugate, which every runtime can execute."""
    a, b, c = matrix.unbind(-2)
    bc, ca, ab = _cross(b, c), _cross(c, a), _cross(a, b)
    determinant = (a * bc).sum(-1)[..., None, None]
    return torch.stack([bc, ca, ab], -1) / determinant


def _cross(a: Tensor, b: Tensor) -> Tensor:
    ax, ay, az = a.unbind(-1)
    bx, by, bz = b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def log_spaced_distances(near_m: float, far_m: float, count: int) -> Tensor:
    """Return ``count`` distances that grow by a constant factor."""
    return torch.logspace(math.log10(near_m), math.log10(far_m), count)


def jittered(distances: Tensor, rays: int, generator: torch.Generator) -> Tensor:
    """Move the samples of each ray together by up to half a bin; ``[S]`` becomes ``[rays, S]``."""
    ratio = distances[1] / distances[0]
    shift = torch.rand(rays, 1, generator=generator) - 0.5
    return distances * ratio**shift


def lattice(height: int, width: int, rows: int, columns: int) -> Tensor:
    """Return the pixels ``[rows * columns, 2]`` at the centres of equal cells of an image."""
    v = (torch.arange(rows) + 0.5) * (height / rows) - 0.5
    u = (torch.arange(columns) + 0.5) * (width / columns) - 0.5
    grid_v, grid_u = torch.meshgrid(v, u, indexing='ij')
    return torch.stack([grid_u, grid_v], -1).reshape(-1, 2)
