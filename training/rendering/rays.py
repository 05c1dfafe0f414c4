"""Rays through pixels, in the ego frame of the input frame set."""

from __future__ import annotations

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

    def lengths(self) -> Tensor:
        """Return the Euclidean length of a metre of depth, ``‖d‖ [R, 1]``."""
        lengths: Tensor = torch.linalg.vector_norm(self.directions, dim=-1, keepdim=True)
        return lengths

    def unit_directions(self) -> Tensor:
        """Return the directions ``[R, 3]`` at unit length."""
        return self.directions / self.lengths()

    def at(self, distances: Tensor) -> Tensor:
        """Return the points ``[R, S, 3]`` at Euclidean distances ``[R, S]`` from the origins."""
        return self.origins[:, None] + distances[..., None] * self.unit_directions()[:, None]


def rays_through(pixels: Tensor, ego_from_image: Tensor) -> Rays:
    """Cast rays through the same pixels ``[P, 2]`` of every camera (method section 2.6).

    With the upper rows ``[R | t]`` of ``ego_from_image``, which takes ``(u z, v z, z, 1)`` to a
    point, the origin is ``t`` and the direction ``R (u, v, 1)``.

    Args:
        pixels: ``[P, 2]``.
        ego_from_image: ``[N, 4, 4]``.

    Returns:
        ``N P`` rays, camera by camera.
    """
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1)
    directions = torch.einsum('nij,pj->npi', ego_from_image[:, :3, :3], homogeneous)
    origins = ego_from_image[:, None, :3, 3].expand_as(directions)
    return Rays(origins.reshape(-1, 3), directions.reshape(-1, 3))


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


def log_spaced_distances(near_m: float, far_m: float | Tensor, count: int) -> Tensor:
    """Return ``count`` distances that grow by a constant factor.

    Args:
        near_m: The first.
        far_m: The last, one for all or one for each ray ``[R]``.
        count: How many, ``S``.

    Returns:
        ``[S]`` or ``[R, S]``.
    """
    growth = (torch.as_tensor(far_m)[..., None] / near_m).log()
    return near_m * (growth * torch.linspace(0, 1, count)).exp()  # cheaper than a power in ONNX


def jittered(distances: Tensor, generator: torch.Generator) -> Tensor:
    """Move the log-spaced samples ``[R, S]`` of each ray together by up to half a bin."""
    ratio = distances[:, 1:2] / distances[:, :1]
    shift = torch.rand(len(distances), 1, generator=generator) - 0.5
    moved: Tensor = distances * ratio**shift
    return moved
