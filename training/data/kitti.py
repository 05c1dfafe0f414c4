"""What KITTI raw and SemanticKITTI share: calibration, poses of camera 0, numbered frames.

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

from selfocc_core.cameras import Camera
from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_text
from selfocc_core.transforms import Transform, invert

LIDAR_FROM_EGO = np.eye(4)
LIDAR_FROM_EGO[2, 3] = -1.73
CAMERA = 'front'
# Text files of poses have few digits; more than this is no rotation.
_ROTATION_TOLERANCE = 1e-3


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
        image_from_camera = self.image_from_camera0[:, :3]
        camera_from_camera0 = np.eye(4)
        # P = K [I | t]
        camera_from_camera0[:3, 3] = np.linalg.solve(
            image_from_camera, self.image_from_camera0[:, 3]
        )
        return Camera(
            name=CAMERA,
            frame_id=f'camera_{CAMERA}_optical_frame',
            width=width,
            height=height,
            image_from_camera=image_from_camera,
            ego_from_camera=invert(camera_from_camera0 @ self.camera0_from_ego),
        )

    def world_from_ego(self, world_from_camera0: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return poses ``[T, 4, 4]`` of the ego frame; the world is the first one."""
        poses = invert(world_from_camera0[0]) @ world_from_camera0 @ self.camera0_from_ego
        return np.asarray(invert(self.camera0_from_ego) @ poses)


class CalibrationFile:
    """A file of lines ``name: number number ...``.

    Raises:
        SelfOccError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = read_text(path, 'calibration').splitlines()
        self._values = {name.strip(): text for name, _, text in (x.partition(':') for x in lines)}

    def get(self, name: str, *shape: int) -> NDArray[np.float64]:
        """Return the numbers of a line.

        Raises:
            SelfOccError: The line is missing, or has other numbers than the shape asks for.
        """
        try:
            values = np.array(self._values[name].split(), np.float64).reshape(shape)
        except (KeyError, ValueError) as error:
            raise SelfOccError(
                f'calibration {self.path} has no line "{name}" of {np.prod(shape)} numbers: '
                'unpack it again'
            ) from error
        if not np.isfinite(values).all():
            raise SelfOccError(f'calibration {self.path}, line "{name}", is not finite: mend it')
        return values


def read_poses(path: Path, frames: int) -> NDArray[np.float64]:
    """Read poses ``world_from_camera0`` ``[T, 4, 4]``, 12 numbers a line, of rectified camera 0.

    Args:
        path: The file.
        frames: How many lines it must have.

    Raises:
        SelfOccError: The file is missing or malformed, or its poses are not those of a camera
            that moves forward or backward.
    """
    lines = read_text(path, 'poses').splitlines()
    try:
        rows = np.array([line.split() for line in lines if line.strip()], np.float64)
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, :3] = rows.reshape(-1, 3, 4)
    except ValueError as error:
        raise SelfOccError(f'poses {path} do not have 12 numbers in each line') from error
    if len(poses) != frames:
        raise SelfOccError(
            f'poses {path} have {len(poses)} lines for {frames} frames: give one for each frame'
        )
    _check_rigid(poses, path)
    _check_moves_ahead(poses, path)
    return poses


def _check_rigid(poses: NDArray[np.float64], path: Path) -> None:
    rotations = poses[:, :3, :3]
    error = np.abs(rotations @ rotations.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2))
    wrong = ~(np.isfinite(poses).all(axis=(1, 2)) & (error < _ROTATION_TOLERANCE))
    wrong |= np.linalg.det(np.where(wrong[:, None, None], np.eye(3), rotations)) < 0
    if wrong.any():
        raise SelfOccError(f'poses {path}, line {wrong.argmax() + 1}, are no rigid transform')


def _check_moves_ahead(poses: NDArray[np.float64], path: Path) -> None:
    """Refuse poses of another sensor: cars drive along their camera's z, along a LiDAR's x."""
    steps_m = (invert(poses[:-1]) @ poses[1:])[:, :3, 3]
    driven_m = np.linalg.norm(steps_m, axis=1).sum()
    if np.abs(steps_m[:, 2]).sum() < 0.5 * driven_m:
        raise SelfOccError(
            f'poses {path} move sideways: give those of rectified camera 0 (z ahead), not of the '
            'LiDAR or the vehicle'
        )


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
