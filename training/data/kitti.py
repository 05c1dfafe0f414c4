"""What clips of KITTI raw and of SemanticKITTI share: camera 2, the ego frame, ranges of frames.

Our ego frame lies on the ground below the LiDAR, with its axes: x ahead, y left, z up. The LiDAR
is 1.73 m above the ground, camera 0 is the left grey one, camera 2 the left colour one (Geiger et
al., "Vision meets Robotics", IJRR 2013).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera, Rig
from selfocc_core.datasets.kitti import CAMERA_NAMES, camera_of, world_from_ego
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Transform

LIDAR_FROM_EGO = np.eye(4)
LIDAR_FROM_EGO[2, 3] = -1.73
_ROTATION_TOLERANCE = 0.01  # the files have few digits


@dataclass(frozen=True, eq=False)
class KittiCalibration:
    """Where camera 2 looks.

    Attributes:
        image_from_camera0: Projection ``[3, 4]`` from rectified camera 0 to pixels of camera 2.
        camera0_from_lidar: Transform ``[4, 4]`` to rectified camera 0.
    """

    image_from_camera0: NDArray[np.float64]
    camera0_from_lidar: Transform

    @property
    def camera0_from_ego(self) -> Transform:
        """Transform ``[4, 4]`` from our ego frame to rectified camera 0."""
        return self.camera0_from_lidar @ LIDAR_FROM_EGO

    def camera(self, width: int, height: int) -> Camera:
        """Return camera 2 with images of a size."""
        return camera_of(
            CAMERA_NAMES[2], self.image_from_camera0, self.camera0_from_ego, width, height
        )

    def rig(self, width: int, height: int, drive: Path) -> Rig:
        """Return the rig of camera 2.

        Raises:
            SelfOccError: It is not calibrated; the drive is named.
        """
        try:
            camera = self.camera(width, height)
        except SelfOccError as error:
            raise SelfOccError(f'the calibration of drive {drive}: {error}') from error
        require_rotation(camera.ego_from_camera, f'the calibration of drive {drive}')
        return Rig((camera,))

    def world_from_ego(self, world_from_camera0: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return poses ``[T, 4, 4]`` of the ego frame; the world is the first one."""
        return world_from_ego(world_from_camera0, self.camera0_from_ego)


def require_rotation(transform: Transform, what: str) -> None:
    """Check that a transform, as a file has it, turns and does not mirror or shrink.

    Raises:
        SelfOccError: It does not.
    """
    if abs(np.linalg.det(transform[:3, :3]) - 1.0) > _ROTATION_TOLERANCE:
        raise SelfOccError(f'{what} has a rotation that is none: unpack it again')


def frame_range(text: str, count: int) -> range:
    """Return the frames that ``first:end`` names, the end not included; either may be left out.

    Raises:
        SelfOccError: It is no range, or none of the frames is in it.
    """
    match = re.fullmatch(r'(\d*):(\d*)', text)
    if match is None:
        raise SelfOccError(f'frames={text} is no range: write frames=0:120 for the first 120')
    first, end = match.groups()
    chosen = range(count)[int(first or 0) : int(end or count)]
    if not chosen:
        raise SelfOccError(f'frames={text} is empty: there are {count} frames, from 0 on')
    return chosen


def image_file(folder: Path, name: str) -> Path:
    """Return the PNG or JPEG of a frame.

    Raises:
        SelfOccError: There is neither.
    """
    for suffix in ('.png', '.jpg'):
        path = folder / f'{name}{suffix}'
        if path.is_file():
            return path
    raise SelfOccError(
        f'image {folder / name}.png is missing: unpack the drive again, or choose a piece that '
        'is complete with frames=FIRST:END'
    )
