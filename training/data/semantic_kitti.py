"""Sequences of SemanticKITTI (KITTI odometry) as training clips: camera 2.

Layout of a sequence: ``calib.txt``, ``poses.txt`` (rectified camera 0), ``times.txt``,
``image_2/000000.png``. The point labels are not read: training needs none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from selfocc_core.datasets.kitti import CalibrationFile, read_poses, read_seconds_ns
from training.config import InputConfig
from training.data import video
from training.data.clip import Clip
from training.data.kept_video import VideoCache
from training.data.kitti import KittiCalibration, frame_range, image_file
from training.data.labels import LabelSource
from training.data.video import Video, read_image


def read_clips(
    sequence: Path,
    config: InputConfig,
    frames: str = ':',
    poses: str = 'poses.txt',
    labels: LabelSource | None = None,
    cache: VideoCache | None = None,
) -> list[Clip]:
    """Read a sequence.

    Args:
        sequence: Its folder, for example ``dataset/sequences/00``.
        config: Images that the network takes.
        frames: ``first:end``, the end not included.
        poses: File of poses of rectified camera 0, 12 numbers a line; relative to the sequence.
        labels: Pseudo-labels, if there are any.
        cache: Where the decoded video is kept; in memory by default.

    Raises:
        SelfOccError: A file is missing or damaged, or the sequence is too short.
    """
    calibration = _read_calibration(sequence / 'calib.txt')
    stamps_ns = read_seconds_ns(sequence / 'times.txt')
    world_from_camera0 = read_poses(sequence / poses, len(stamps_ns))
    numbers = frame_range(frames, len(stamps_ns))
    files = [image_file(sequence / 'image_2', f'{n:06d}') for n in numbers]
    height, width, _ = read_image(files[0]).shape  # the calibration does not say
    world_from_ego = calibration.world_from_ego(world_from_camera0)[numbers]
    return video.read_clips(
        Video(
            name=f'SemanticKITTI sequence {sequence.absolute().name}',
            drive=sequence.absolute().name,
            rig=calibration.rig(width, height, sequence),
            stamps_ns=stamps_ns[numbers],
            files=tuple((path,) for path in files),
            world_from_ego=world_from_ego,
            world_from_ego_at_shutter=world_from_ego[:, None],
        ),
        config,
        labels,
        cache,
    )


def _read_calibration(path: Path) -> KittiCalibration:
    file = CalibrationFile(path)
    camera0_from_lidar = np.eye(4)
    camera0_from_lidar[:3] = file.get('Tr', 3, 4)
    return KittiCalibration(file.get('P2', 3, 4), camera0_from_lidar)
