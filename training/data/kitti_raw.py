"""Drives of KITTI raw as training clips: rectified camera 2 and the poses of the vehicle.

Layout of a drive (synchronised and rectified, as KITTI publishes it)::

    2011_09_26/calib_cam_to_cam.txt, calib_velo_to_cam.txt, calib_imu_to_velo.txt
    2011_09_26/2011_09_26_drive_0013_sync/image_02/timestamps.txt, data/0000000000.png
    2011_09_26/2011_09_26_drive_0013_sync/oxts/timestamps.txt, data/0000000000.txt

KITTI's ``oxts`` is the nearest sample of the navigation unit, up to 14 ms off the camera: poses
are interpolated at the camera's own stamps, never taken as they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_text
from selfocc_core.transforms import Trajectory, Transform, invert
from training.config import InputConfig
from training.data import video
from training.data.clip import Clip
from training.data.kept_video import VideoCache
from training.data.kitti import (
    LIDAR_FROM_EGO,
    CalibrationFile,
    KittiCalibration,
    frame_range,
    image_file,
    read_poses,
)
from training.data.labels import LabelSource
from training.data.video import Video

_EARTH_RADIUS_M = 6_378_137.0
# Between poses farther apart the vehicle may have done anything.
_LONGEST_POSE_GAP_NS = 500_000_000


def read_clips(
    drive: Path,
    config: InputConfig,
    frames: str = ':',
    poses: str | None = None,
    labels: LabelSource | None = None,
    cache: VideoCache | None = None,
) -> list[Clip]:
    """Read a drive.

    Frames in a gap of the poses are left out.

    Args:
        drive: Folder of the drive, in the folder with the calibration of its day.
        config: Images that the network takes.
        frames: ``first:end``, the end not included.
        poses: File of poses of rectified camera 0, 12 numbers a line, a line for each frame of
            the drive; relative to the drive. ``oxts`` by default.
        labels: Pseudo-labels, if there are any.
        cache: Where the decoded video is kept; in memory by default.

    Raises:
        SelfOccError: A file is missing or damaged, or the drive is too short.
    """
    drive = drive.absolute()  # a drive given as "." has a parent too
    calibration, size = read_calibration(drive)
    stamps_ns = read_stamps_ns(drive / 'image_02' / 'timestamps.txt')
    if poses is None:
        world_from_ego = _poses_of_oxts(drive, stamps_ns)
    else:
        world_from_camera0 = read_poses(drive / poses, len(stamps_ns))
        world_from_ego = calibration.world_from_ego(world_from_camera0)
    numbers = [
        n for n in frame_range(frames, len(stamps_ns)) if np.isfinite(world_from_ego[n]).all()
    ]
    if not numbers:
        raise SelfOccError(
            f'KITTI drive {drive} has no pose at the times of its images: unpack oxts again, or '
            'give poses=FILE, 12 numbers a line of rectified camera 0'
        )
    return video.read_clips(
        Video(
            name=f'KITTI drive {drive.name}',
            drive=drive.name,
            rig=Rig((calibration.camera(*size),)),
            stamps_ns=stamps_ns[numbers],
            files=tuple((image_file(drive / 'image_02/data', f'{n:010d}'),) for n in numbers),
            world_from_ego=world_from_ego[numbers],
            world_from_ego_at_shutter=world_from_ego[numbers, None],
        ),
        config,
        labels,
        cache,
    )


def read_calibration(drive: Path) -> tuple[KittiCalibration, tuple[int, int]]:
    """Return the calibration of a drive's day and the width and height of its images."""
    cameras = CalibrationFile(drive.parent / 'calib_cam_to_cam.txt')
    rectified_from_camera0 = np.eye(4)
    rectified_from_camera0[:3, :3] = cameras.get('R_rect_00', 3, 3)
    camera0_from_lidar = _rigid(CalibrationFile(drive.parent / 'calib_velo_to_cam.txt'))
    width, height = cameras.get('S_rect_02', 2)
    calibration = KittiCalibration(
        image_from_camera0=cameras.get('P_rect_02', 3, 4),
        camera0_from_lidar=rectified_from_camera0 @ camera0_from_lidar,
    )
    return calibration, (int(width), int(height))


def _rigid(file: CalibrationFile) -> Transform:
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = file.get('R', 3, 3), file.get('T', 3)
    return transform


def read_stamps_ns(path: Path) -> NDArray[np.int64]:
    """Return the stamps of lines such as ``2011-09-26 13:10:51.168593664``."""
    lines = read_text(path, 'time stamps').split('\n')
    try:
        stamps = np.array([line.strip() for line in lines if line.strip()], 'datetime64[ns]')
    except ValueError as error:
        raise SelfOccError(f'time stamps {path} are malformed: unpack the drive again') from error
    stamps_ns = stamps.astype(np.int64)
    if len(stamps_ns) == 0 or (np.diff(stamps_ns) <= 0).any():
        raise SelfOccError(f'time stamps {path} do not increase: unpack the drive again')
    return stamps_ns


def _poses_of_oxts(drive: Path, stamps_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``world_from_ego`` ``[T, 4, 4]`` at the stamps, NaN where nobody knows it."""
    trajectory = _trajectory_of_oxts(drive)
    poses = np.full((len(stamps_ns), 4, 4), np.nan)
    for n in np.flatnonzero(trajectory.is_known(stamps_ns, _LONGEST_POSE_GAP_NS)):
        poses[n] = trajectory.at(int(stamps_ns[n]))
    return poses


def _trajectory_of_oxts(drive: Path) -> Trajectory:
    """Return ``world_from_ego`` from the navigation unit; the world begins at its first pose."""
    stamps_ns = read_stamps_ns(drive / 'oxts' / 'timestamps.txt')
    files = [drive / 'oxts' / 'data' / f'{n:010d}.txt' for n in range(len(stamps_ns))]
    present = [n for n, path in enumerate(files) if path.is_file()]
    if len(present) < 2:
        raise SelfOccError(
            f'KITTI drive {drive} has {len(present)} poses in oxts/data: unpack it again, or '
            'give poses=FILE, 12 numbers a line of rectified camera 0'
        )
    world_from_imu = _mercator_poses(np.stack([_read_oxts(files[n]) for n in present]))
    imu_from_lidar = invert(_rigid(CalibrationFile(drive.parent / 'calib_imu_to_velo.txt')))
    world_from_ego = world_from_imu @ imu_from_lidar @ LIDAR_FROM_EGO
    return _extended(Trajectory(stamps_ns[present], world_from_ego))


def _read_oxts(path: Path) -> NDArray[np.float64]:
    """Return latitude and longitude in degrees, altitude, roll, pitch and yaw of a sample."""
    try:
        values = np.array(read_text(path, 'pose').split()[:6], np.float64)
    except ValueError:
        values = np.empty(0)
    if len(values) != 6 or not np.isfinite(values).all() or abs(values[0]) > 85:
        raise SelfOccError(f'pose {path} is malformed: unpack the drive again')
    return values


def _mercator_poses(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``world_from_imu`` ``[T, 4, 4]``; x is east, y north, z up.

    The position is a Mercator projection with the scale of the first latitude, as in KITTI's
    development kit.
    """
    latitude, longitude = np.radians(samples[:, 0]), np.radians(samples[:, 1])
    radius_m = np.cos(latitude[0]) * _EARTH_RADIUS_M
    north_m = radius_m * np.log(np.tan(np.pi / 4 + latitude / 2))
    positions = np.stack([radius_m * longitude, north_m, samples[:, 2]], -1)
    poses = np.tile(np.eye(4), (len(samples), 1, 1))
    poses[:, :3, :3] = Rotation.from_euler('ZYX', samples[:, 5:2:-1]).as_matrix()
    poses[:, :3, 3] = positions - positions[0]
    return poses


def _extended(trajectory: Trajectory) -> Trajectory:
    """Add a pose at both ends as if the vehicle had gone on: images may be a little outside."""
    stamps_ns, poses = trajectory.stamps_ns, trajectory.world_from_ego
    before = poses[0] @ invert(poses[1]) @ poses[0]
    after = poses[-1] @ invert(poses[-2]) @ poses[-1]
    first_ns, last_ns = 2 * stamps_ns[0] - stamps_ns[1], 2 * stamps_ns[-1] - stamps_ns[-2]
    return Trajectory(
        np.array([first_ns, *stamps_ns, last_ns], np.int64), np.stack([before, *poses, after])
    )
