"""What KITTI raw and SemanticKITTI share: text files, numbered files, the vehicle.

Where the ego frame of a bag is: on the ground below the rear axle, with the axes of the LiDAR (x
ahead, y left, z up). The drawing of KITTI's sensor setup (Geiger et al., "Vision meets Robotics",
IJRR 2013, and the page "setup" of the benchmark) has the LiDAR 1.73 m above the road, and the
navigation unit 0.05 m behind the rear axle, 0.32 m left of the middle and 0.93 m high; the
calibration of the LiDAR against that unit (0.81 m ahead, 0.31 m to the right, 0.80 m up) puts it
0.76 m ahead of the axle, in the middle.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera
from selfocc_core.datasets.tree_files import read_records
from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_text
from selfocc_core.transforms import Transform, invert

EGO_FROM_LIDAR = np.eye(4)
EGO_FROM_LIDAR[:3, 3] = 0.76, 0.0, 1.73

# The number of a camera is that of its folder. The left colour one comes first: it is `front`.
CAMERA_NAMES = {2: 'front', 3: 'color_right', 0: 'gray_left', 1: 'gray_right'}

_END_S = 2**31  # stamps of ROS end there
# Text files of poses have few digits; more than this is no rotation.
_ROTATION_TOLERANCE = 1e-3


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

    def rigid(self) -> Transform:
        """Return the transform of the lines ``R`` and ``T``."""
        transform = np.eye(4)
        transform[:3, :3], transform[:3, 3] = self.get('R', 3, 3), self.get('T', 3)
        return transform


def camera_of(
    name: str,
    image_from_camera0: NDArray[np.float64],
    camera0_from_ego: Transform,
    width: int,
    height: int,
) -> Camera:
    """Return a rectified camera.

    Args:
        name: Its name in the rig.
        image_from_camera0: Projection ``[3, 4]`` from rectified camera 0 to its pixels.
        camera0_from_ego: Transform ``[4, 4]`` to rectified camera 0.
        width: Width of its images in pixels.
        height: Height of its images in pixels.

    Raises:
        SelfOccError: It is not calibrated.
    """
    image_from_camera = image_from_camera0[:, :3]
    camera_from_camera0 = np.eye(4)
    try:
        # P = K [I | t]
        offset_m = np.linalg.solve(image_from_camera, image_from_camera0[:, 3])
    except np.linalg.LinAlgError as error:
        raise SelfOccError(f'camera "{name}" is not calibrated: its P has no inverse') from error
    camera_from_camera0[:3, 3] = offset_m
    return Camera(
        name=name,
        frame_id=f'camera_{name}_optical_frame',
        width=width,
        height=height,
        image_from_camera=image_from_camera,
        ego_from_camera=invert(camera_from_camera0 @ camera0_from_ego),
    )


def world_from_ego(
    world_from_camera0: NDArray[np.float64], camera0_from_ego: Transform
) -> NDArray[np.float64]:
    """Return poses ``[T, 4, 4]`` of an ego frame of those of camera 0; its first is the world."""
    poses = invert(world_from_camera0[0]) @ world_from_camera0 @ camera0_from_ego
    return np.asarray(invert(camera0_from_ego) @ poses)


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


def read_dates_ns(path: Path) -> NDArray[np.int64]:
    """Return the stamps of lines such as ``2011-09-26 13:10:51.168593664``.

    Raises:
        SelfOccError: The file is missing or malformed, or its stamps do not increase.
    """
    lines = read_text(path, 'time stamps').split('\n')
    try:
        stamps = np.array([line.strip() for line in lines if line.strip()], 'datetime64[ns]')
    except ValueError as error:
        raise SelfOccError(f'time stamps {path} are malformed: unpack the drive again') from error
    stamps_ns = stamps.astype(np.int64)
    if len(stamps_ns) == 0 or (np.diff(stamps_ns) <= 0).any():
        raise SelfOccError(f'time stamps {path} do not increase: unpack the drive again')
    return stamps_ns


def read_seconds_ns(path: Path) -> NDArray[np.int64]:
    """Return the stamps of seconds since the first frame, one number a line.

    Raises:
        SelfOccError: The file is missing or malformed, or its stamps do not increase.
    """
    try:
        seconds = np.array(read_text(path, 'time stamps').split(), np.float64)
    except ValueError as error:
        raise SelfOccError(
            f'time stamps {path} are malformed: unpack the sequence again'
        ) from error
    if len(seconds) == 0 or not ((seconds < _END_S).all() and (np.diff(seconds) > 0).all()):
        raise SelfOccError(f'time stamps {path} do not increase: unpack the sequence again')
    return np.asarray(np.round(seconds * 1e9), np.int64)


def numbered_files(frames: int, *places: tuple[Path, str]) -> dict[int, Path]:
    """Return files by the number in their name, in order.

    Args:
        frames: How many frames have a stamp.
        places: Folders, which may be missing, and what the names in them end in; of several files
            with a number the first place counts.

    Raises:
        SelfOccError: A file has a number that has no stamp.
    """
    found: dict[int, Path] = {}
    for folder, suffix in places:
        for path in sorted(folder.glob(f'*{suffix}')):
            if re.fullmatch(r'\d{6,10}', path.stem, re.ASCII):
                found.setdefault(int(path.stem), path)
    if found and max(found) >= frames:
        raise SelfOccError(
            f'{found[max(found)]} has no stamp: there are {frames} stamps, one for each frame; '
            'unpack the drive again'
        )
    return dict(sorted(found.items()))


def check_without_holes(images: dict[int, Path]) -> None:
    """Refuse images with one missing in between; at the ends some may be left out on purpose.

    Raises:
        SelfOccError: One is missing.
    """
    for before, after in pairwise(images):
        if after != before + 1:
            raise SelfOccError(
                f'images are missing between {images[before]} and {images[after].name}: unpack '
                'the drive again'
            )


def read_scan(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the points of a scan: x, y, z and intensity ``[P]`` in the frame of the LiDAR.

    As the LiDAR turns they are measured over 0.1 s; they are not compensated for motion.

    Raises:
        SelfOccError: The file is missing or truncated.
    """
    points = read_records(path, np.float32, 4, 'scan')
    return dict(zip(('x', 'y', 'z', 'intensity'), points.T, strict=True))
