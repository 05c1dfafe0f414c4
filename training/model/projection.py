"""Where points of the volume appear in the cameras."""

from __future__ import annotations

from torch import Tensor

from training.model.deformable_attention import Places

_MINIMUM_DEPTH_M = 0.1
_MINIMUM_DEPTH_PARITY_M = 1e-5


def project(
    points: Tensor, image_from_ego: Tensor, size: tuple[int, int], *, parity: bool = False
) -> Places:
    """Project points into images (method section 2.4b).

    A point is visible if its depth is positive and ``0 < u/W < 1``, ``0 < v/H < 1``.

    Args:
        points: ``[..., 3]`` in the ego frame.
        image_from_ego: Cameras ``[..., N, 3, 4]``, to pixels of the images.
        size: Height and width of the images.
        parity: Take pixel 0 for the edge of the image, as the original does. Pixel centres lie
            at integers, so its left edge is at -0.5.

    Returns:
        ``references`` ``[..., N, points, 2]`` and ``visible`` ``[..., N, points]``.
    """
    flat = points.reshape(-1, 3)
    homogeneous = flat @ image_from_ego[..., :3].transpose(-1, -2)
    homogeneous = homogeneous + image_from_ego[..., None, :, 3]
    depth = homogeneous[..., 2]
    minimum_m = _MINIMUM_DEPTH_PARITY_M if parity else _MINIMUM_DEPTH_M
    pixels = homogeneous[..., :2] / depth.clamp(min=minimum_m)[..., None]
    locations = (pixels + (0.0 if parity else 0.5)) / pixels.new_tensor([size[1], size[0]])
    visible = ((locations > 0) & (locations < 1)).all(-1) & (depth > minimum_m)
    lead, shape = image_from_ego.shape[:-2], points.shape[:-1]
    return Places(locations.reshape(*lead, *shape, 2), visible.reshape(*lead, *shape))
