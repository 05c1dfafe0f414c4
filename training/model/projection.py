"""Where points of the ego frame appear in the cameras."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_MINIMUM_DEPTH_M = 0.1


class Projected(NamedTuple):
    """Points in images.

    Attributes:
        locations: Position in the image ``[N, ..., 2]``; 0 and 1 are its edges.
        visible: Whether the point lies in front of the camera and inside the image ``[N, ...]``.
    """

    locations: Tensor
    visible: Tensor


def project(points: Tensor, image_from_ego: Tensor, size: tuple[int, int]) -> Projected:
    """Project ego points ``[..., 3]`` with cameras ``[N, 3, 4]`` into images of (height, width).

    Pixel centres lie at integers, so the left edge of an image is at -0.5.
    """
    height, width = size
    flat = points.reshape(-1, 3)
    homogeneous = torch.einsum('nij,pj->npi', image_from_ego[:, :, :3], flat)
    homogeneous = homogeneous + image_from_ego[:, None, :, 3]
    depth = homogeneous[..., 2]
    pixels = homogeneous[..., :2] / depth.clamp(min=_MINIMUM_DEPTH_M)[..., None]
    locations = (pixels + 0.5) / torch.tensor([width, height], dtype=pixels.dtype)
    inside = ((locations > 0) & (locations < 1)).all(-1)
    shape = (len(image_from_ego), *points.shape[:-1])
    return Projected(
        locations.reshape(*shape, 2), (inside & (depth > _MINIMUM_DEPTH_M)).reshape(shape)
    )
