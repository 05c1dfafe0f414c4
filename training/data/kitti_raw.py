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

from selfocc_core.datasets.kitti import CalibrationFile, read_dates_ns, read_poses
from selfocc_core.datasets.oxts import read_oxts
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Trajectory, invert
from training.config import InputConfig
from training.data import video
from training.data.clip import Clip
from training.data.kept_video import VideoCache
from training.data.kitti import (
    LIDAR_FROM_EGO,
    KittiCalibration,
    frame_range,
    image_file,
    require_rotation,
)
from training.data.labels import LabelSource
from training.data.video import Video

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
    stamps_ns = read_dates_ns(drive / 'image_02' / 'timestamps.txt')
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
            rig=calibration.rig(*size, drive),
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
    camera0_from_lidar = CalibrationFile(drive.parent / 'calib_velo_to_cam.txt').rigid()
    width, height = cameras.get('S_rect_02', 2)
    calibration = KittiCalibration(
        image_from_camera0=cameras.get('P_rect_02', 3, 4),
        camera0_from_lidar=rectified_from_camera0 @ camera0_from_lidar,
    )
    return calibration, (int(width), int(height))


def _poses_of_oxts(drive: Path, stamps_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``world_from_ego`` ``[T, 4, 4]`` at the stamps, NaN where nobody knows it."""
    trajectory = _trajectory_of_oxts(drive)
    poses = np.full((len(stamps_ns), 4, 4), np.nan)
    for n in np.flatnonzero(trajectory.is_known(stamps_ns, _LONGEST_POSE_GAP_NS)):
        poses[n] = trajectory.at(int(stamps_ns[n]))
    return poses


def _trajectory_of_oxts(drive: Path) -> Trajectory:
    """Return ``world_from_ego`` from the navigation unit; the world begins at its first pose."""
    imu = read_oxts(drive / 'oxts')
    samples = 0 if imu is None else len(imu.stamps_ns)
    if imu is None or samples < 2:
        raise SelfOccError(
            f'KITTI drive {drive} has {samples} poses in oxts/data: unpack it again, or '
            'give poses=FILE, 12 numbers a line of rectified camera 0'
        )
    calibration = CalibrationFile(drive.parent / 'calib_imu_to_velo.txt')
    imu_from_lidar = invert(calibration.rigid())
    require_rotation(imu_from_lidar, f'calibration {calibration.path}')
    world_from_ego = imu.world_from_ego @ imu_from_lidar @ LIDAR_FROM_EGO
    return _extended(Trajectory(imu.stamps_ns, world_from_ego))


def _extended(trajectory: Trajectory) -> Trajectory:
    """Add a pose at both ends as if the vehicle had gone on: images may be a little outside."""
    stamps_ns, poses = trajectory.stamps_ns, trajectory.world_from_ego
    before = poses[0] @ invert(poses[1]) @ poses[0]
    after = poses[-1] @ invert(poses[-2]) @ poses[-1]
    first_ns, last_ns = 2 * stamps_ns[0] - stamps_ns[1], 2 * stamps_ns[-1] - stamps_ns[-2]
    return Trajectory(
        np.array([first_ns, *stamps_ns, last_ns], np.int64), np.stack([before, *poses, after])
    )
