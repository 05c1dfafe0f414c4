"""The voxel grid around the vehicle and the three states of a voxel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from selfocc_core.errors import SelfOccError

MAX_VOXELS = 512 * 512 * 64


class VoxelState(IntEnum):
    """What is known of a voxel; *unknown* is a voxel that no working camera can see."""

    FREE = 0
    OCCUPIED = 1
    UNKNOWN = 2


@dataclass(frozen=True)
class VoxelGrid:
    """A box in the ego frame (``base_link``) cut into equal voxels.

    Attributes:
        minimum_m: Low corner (x, y, z) of the box.
        maximum_m: High corner (x, y, z) of the box.
        shape: Number of voxels along x, y, z; arrays over the grid are ``[X, Y, Z]``.
    """

    minimum_m: tuple[float, float, float]
    maximum_m: tuple[float, float, float]
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or math.prod(self.shape) > MAX_VOXELS:
            raise SelfOccError(f'a voxel grid of shape {self.shape} is empty or too large')
        if not np.all(np.asarray(self.maximum_m) > np.asarray(self.minimum_m)):
            raise SelfOccError(
                f'the voxel grid {self.minimum_m} to {self.maximum_m} has no volume'
            )

    @property
    def voxel_size_m(self) -> NDArray[np.float64]:
        """Edge lengths of a voxel (x, y, z)."""
        extent_m = np.asarray(self.maximum_m) - np.asarray(self.minimum_m)
        return np.asarray(extent_m / np.asarray(self.shape), np.float64)

    def axis_centers(self, axis: int) -> NDArray[np.float64]:
        """Return the coordinates of the voxel centres along one axis, in metres."""
        steps = np.arange(self.shape[axis], dtype=np.float64) + 0.5
        return np.asarray(self.minimum_m[axis] + self.voxel_size_m[axis] * steps, np.float64)

    def centers(self) -> NDArray[np.float64]:
        """Return the voxel centres ``[X, Y, Z, 3]`` in metres."""
        axes = [self.axis_centers(axis) for axis in range(3)]
        return np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)

    def indices(self, points: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the voxel ``[..., 3]`` of each point ``[..., 3]``, and whether it lies in one.

        Points outside get the nearest voxel and ``False``; not-a-number counts as outside.
        """
        points = np.asarray(points, np.float64)
        continuous = (points - np.asarray(self.minimum_m)) / self.voxel_size_m
        with np.errstate(invalid='ignore'):
            inside = ((continuous >= 0) & (continuous < np.asarray(self.shape))).all(-1)
        bounded = np.clip(np.nan_to_num(continuous), 0, np.asarray(self.shape) - 1)
        return np.floor(bounded).astype(np.int64), inside

    def visible_from(
        self, image_from_ego: NDArray[np.float64], size: tuple[int, int]
    ) -> NDArray[np.bool_]:
        """Return which voxel centres ``[X, Y, Z]`` at least one camera has in its image.

        Args:
            image_from_ego: Projections ``[N, 3, 4]`` of the working cameras.
            size: Height and width of those images in pixels.
        """
        centers = self.centers().reshape(-1, 3)
        visible = np.zeros(len(centers), bool)
        for projection in image_from_ego:
            visible |= _in_image(centers @ projection[:, :3].T + projection[:, 3], size)
        return visible.reshape(self.shape)


def _in_image(homogeneous: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = size
    depth = homogeneous[:, 2]
    in_front = depth > 0.1
    u = np.divide(homogeneous[:, 0], depth, where=in_front, out=np.full_like(depth, -1.0))
    v = np.divide(homogeneous[:, 1], depth, where=in_front, out=np.full_like(depth, -1.0))
    return in_front & (u >= -0.5) & (u <= width - 0.5) & (v >= -0.5) & (v <= height - 0.5)


def height_band(
    states: NDArray[np.uint8], grid: VoxelGrid, low_m: float, high_m: float
) -> NDArray[np.int8]:
    """Project voxel states ``[X, Y, Z]`` between two heights onto the ground plane.

    Returns:
        Map ``[X, Y]`` in the convention of ``nav_msgs/OccupancyGrid``: 100 where any voxel of the
        band is occupied, else -1 where any is unknown, else 0: free is only what is seen to be.

    Raises:
        SelfOccError: No voxel centre lies in the band.
    """
    heights_m = grid.axis_centers(2)
    in_band = (heights_m >= low_m) & (heights_m <= high_m)
    if not in_band.any():
        raise SelfOccError(
            f'no voxel lies between {low_m} m and {high_m} m: the grid spans '
            f'{grid.minimum_m[2]} to {grid.maximum_m[2]} m'
        )
    band = states[:, :, in_band]
    projected = np.zeros(band.shape[:2], np.int8)
    projected[(band == VoxelState.UNKNOWN).any(2)] = -1
    projected[(band == VoxelState.OCCUPIED).any(2)] = 100
    return projected
