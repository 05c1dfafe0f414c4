"""The pixels at which depth is compared, and what is true there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera
from selfocc_core.evaluation.occupancy import OccupancyTruth

STRIDE_PX = 2
"""Depth is compared at every second pixel of every second row."""

Scalar = TypeVar('Scalar', bound=np.generic)


@dataclass(frozen=True, eq=False)
class TrueView:
    """What one camera sees.

    Attributes:
        depth_m: Depth along the optical axis ``[h, w]``, +Inf for the sky.
        label: Classes ``[h, w]``.
    """

    depth_m: NDArray[np.float32]
    label: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true at one moment.

    Attributes:
        occupancy: The voxels.
        views: What each camera sees at its own shutter time.
    """

    occupancy: OccupancyTruth
    views: Mapping[str, TrueView]


def on_lattice(image: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return the values ``[h, w]`` of an image ``[H, W]`` at the pixels that are compared."""
    first = STRIDE_PX // 2
    return image[first::STRIDE_PX, first::STRIDE_PX]


def lattice_rays(camera: Camera) -> NDArray[np.float64]:
    """Return the rays ``[h, w, 3]`` through the compared pixels, in the optical frame, z = 1."""
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    pixels = np.stack([on_lattice(u), on_lattice(v), on_lattice(np.ones_like(u))], -1)
    return np.asarray(pixels @ np.linalg.inv(camera.image_from_camera).T, np.float64)


def ego_points(camera: Camera, depth_m: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the points ``[h, w, 3]`` in the ego frame that finite depths ``[h, w]`` stand for."""
    points = lattice_rays(camera) * depth_m[..., None]
    rotation, position = camera.ego_from_camera[:3, :3], camera.ego_from_camera[:3, 3]
    return np.asarray(points @ rotation.T + position, np.float64)
