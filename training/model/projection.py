"""Where points of the volume appear in the cameras."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.model.deformable_attention import Places

_MINIMUM_DEPTH_M = 0.1
_MINIMUM_DEPTH_PARITY_M = 1e-5


class Views(NamedTuple):
    """The cameras of some samples, as the network looks through them.

    Attributes:
        image_from_ego: Projections ``[B, N, 3, 4]`` to pixels of an image.
        mask: Which cameras are present ``[B, N]``.
        size: Height and width of that image.
        padded: Height and width with the padding that the features cover too.
    """

    image_from_ego: Tensor
    mask: Tensor
    size: tuple[int, int]
    padded: tuple[int, int]


def padded_size(size: tuple[int, int], levels: int) -> tuple[int, int]:
    """Return the next multiples of the stride of the coarsest level, 4, 8, 16 or 32."""
    stride = 2 << levels
    height, width = (-(-length // stride) * stride for length in size)
    return height, width


def project(points: Tensor, views: Views, *, parity: bool = False) -> Places:
    """Project points into images (method section 2.4b).

    A point is visible if its camera is present, its depth is positive and ``0 < u/W < 1``,
    ``0 < v/H < 1``; its reference is relative to the padded image (section 2.1).

    Args:
        points: ``[..., 3]`` in the ego frame.
        views: The cameras.
        parity: Take pixel 0 for the edge of the image, as the original does, and see points from
            1e-5 m on. Pixel centres lie at integers, so the left edge is at -0.5; what is nearer
            than 0.1 m is on the lens.

    Returns:
        ``references`` ``[B, N, ..., 2]`` and ``visible`` ``[B, N, ...]``.
    """
    image_from_ego, mask, size, padded = views
    flat = points.reshape(-1, 3)
    homogeneous = flat @ image_from_ego[..., :3].transpose(-1, -2)
    homogeneous = homogeneous + image_from_ego[..., None, :, 3]
    depth = homogeneous[..., 2]
    minimum_m = _MINIMUM_DEPTH_PARITY_M if parity else _MINIMUM_DEPTH_M
    pixels = homogeneous[..., :2] / depth.clamp(min=minimum_m)[..., None]
    locations = (pixels + (0.0 if parity else 0.5)) / pixels.new_tensor([size[1], size[0]])
    visible = ((locations > 0) & (locations < 1)).all(-1) & (depth > minimum_m)
    is_exporting = torch.compiler.is_exporting()
    if not is_exporting:
        visible = visible & mask[..., None]
    references = locations * pixels.new_tensor([size[1] / padded[1], size[0] / padded[0]])
    shape = (*mask.shape, *points.shape[:-1])
    present = mask if is_exporting else None
    return Places(references.reshape(*shape, 2), visible.reshape(shape), present)
