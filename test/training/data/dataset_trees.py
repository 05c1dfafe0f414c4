"""Tiny drives in the on-disk form of public datasets, with pictures and numbers made up here."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from selfocc_core.transforms import invert
from training.config import InputConfig

WIDTH, HEIGHT, FOCAL_PX = 64, 32, 40.0
IMAGES = InputConfig(1, HEIGHT, WIDTH, supervision_height=HEIGHT, supervision_width=WIDTH)
# Camera 0 is 0.3 m ahead of and 0.1 m below the LiDAR; camera 2 is 0.06 m left of camera 0.
CAMERA0_FROM_LIDAR = np.array([[0, -1, 0, 0.0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]])
PROJECTION = np.array([[FOCAL_PX, 0, 31, FOCAL_PX * 0.06], [0, FOCAL_PX, 15, 0], [0, 0, 1, 0]])
SPEED_M_S, STEP_NS = 10.0, 100_000_000


def write_image(path: Path, number: int, width: int = WIDTH) -> None:
    """Write a picture whose upper half tells its number; the bright ground steadies the mean."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((HEIGHT, width, 3), 10 * number, np.uint8)
    picture[HEIGHT * 9 // 16 :] = 255
    cv2.imwrite(str(path), picture)


def write_kitti_drive(root: Path, frames: int = 6, speed_m_s: float = SPEED_M_S) -> Path:
    """Write a drive to the north; the navigation unit samples 7 ms after the camera."""
    day = root / '2011_09_26'
    drive = day / '2011_09_26_drive_0042_sync'
    for number in range(frames):
        write_image(drive / 'image_02/data' / f'{number:010d}.png', number)
    write_kitti_calibration(day)
    write_stamps(drive / 'image_02', 0, frames)
    write_oxts(drive, frames, speed_m_s)
    return drive


def write_kitti_calibration(day: Path) -> None:
    rows = {
        'calib_cam_to_cam.txt': {
            'S_rect_02': [WIDTH, HEIGHT],
            'R_rect_00': np.eye(3),
            'P_rect_02': PROJECTION,
        },
        'calib_velo_to_cam.txt': {'R': CAMERA0_FROM_LIDAR[:3, :3], 'T': CAMERA0_FROM_LIDAR[:3, 3]},
        'calib_imu_to_velo.txt': {'R': np.eye(3), 'T': [-0.8, 0.3, -0.8]},
    }
    for name, lines in rows.items():
        text = ''.join(f'{key}: {numbers(value)}\n' for key, value in lines.items())
        (day / name).write_text('calib_time: 09-Jan-2012 13:57:47\n' + text)


def write_stamps(folder: Path, offset_ns: int, frames: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    first = np.datetime64('2011-09-26T13:10:51.168593664', 'ns')
    stamps = [first + np.timedelta64(n * STEP_NS + offset_ns, 'ns') for n in range(frames)]
    (folder / 'timestamps.txt').write_text(''.join(f'{s}\n'.replace('T', ' ') for s in stamps))


def write_oxts(drive: Path, frames: int, speed_m_s: float) -> None:
    write_stamps(drive / 'oxts', 7_000_000, frames)
    (drive / 'oxts' / 'data').mkdir()
    for number in range(frames):
        north_m = speed_m_s * (number * STEP_NS + 7_000_000) * 1e-9
        # At the equator a metre is the same part of a degree in Mercator's map and on the ground.
        latitude_deg = np.degrees(north_m / 6_378_137.0)
        sample = [latitude_deg, 8.4, 114.0, 0.0, 0.0, np.pi / 2, *[0.0] * 24]
        (drive / 'oxts' / 'data' / f'{number:010d}.txt').write_text(numbers(sample) + '\n')


def numbers(values) -> str:
    return ' '.join(f'{value:.12e}' for value in np.ravel(values))


def camera0_poses(frames: int, step_m: float = 1.0) -> np.ndarray:
    """Return ``world_from_camera0``, driving straight ahead."""
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 2, 3] = step_m * np.arange(frames)
    return poses


def write_poses(path: Path, poses: np.ndarray) -> None:
    path.write_text(''.join(f'{numbers(pose[:3])}\n' for pose in poses))


def write_semantic_kitti(root: Path, frames: int = 6) -> Path:
    sequence = root / 'sequences' / '00'
    for number in range(frames):
        write_image(sequence / 'image_2' / f'{number:06d}.png', number)
    calibration = {'P0': PROJECTION, 'P2': PROJECTION, 'Tr': CAMERA0_FROM_LIDAR[:3]}
    lines = ''.join(f'{key}: {numbers(value)}\n' for key, value in calibration.items())
    (sequence / 'calib.txt').write_text(lines)
    (sequence / 'times.txt').write_text(''.join(f'{0.1 * n:e}\n' for n in range(frames)))
    write_poses(sequence / 'poses.txt', camera0_poses(frames))
    return sequence


NUSCENES_OFFSETS_US = {
    'CAM_FRONT': 0,
    'CAM_FRONT_RIGHT': 8_000,
    'CAM_FRONT_LEFT': -8_000,
    'CAM_BACK': 25_000,
    'CAM_BACK_LEFT': 35_000,
    'CAM_BACK_RIGHT': 15_000,
}
NUSCENES_PERIOD_US = 83_000


def write_nuscenes(root: Path, frames: int = 7, scenes: tuple[str, ...] = ('scene-0001',)) -> Path:
    """Write scenes of six cameras at 12 Hz, every sixth a keyframe, at 10 m/s along x."""
    tables = {name: [] for name in ('scene', 'sample', 'sample_data', 'ego_pose')}
    ego_from_camera = invert(CAMERA0_FROM_LIDAR)
    tables['sensor'] = [{'token': f's-{c}', 'channel': c} for c in NUSCENES_OFFSETS_US]
    tables['calibrated_sensor'] = [
        {
            'token': f'c-{channel}',
            'sensor_token': f's-{channel}',
            'translation': ego_from_camera[:3, 3].tolist(),
            'rotation': [0.5, -0.5, 0.5, -0.5],
            'camera_intrinsic': PROJECTION[:, :3].tolist(),
        }
        for channel in NUSCENES_OFFSETS_US
    ]
    for scene in scenes:
        tables['scene'].append({'token': f'k-{scene}', 'name': scene})
        tables['sample'].append({'token': f'a-{scene}', 'scene_token': f'k-{scene}'})
        for index in range(frames):
            for channel in NUSCENES_OFFSETS_US:
                add_nuscenes_image(root, tables, scene, channel, index)
    (root / 'v1.0-mini').mkdir(parents=True)
    for name, rows in tables.items():
        (root / 'v1.0-mini' / f'{name}.json').write_text(json.dumps(rows))
    return root


def add_nuscenes_image(root: Path, tables: dict, scene: str, channel: str, index: int) -> None:
    elapsed_us = index * NUSCENES_PERIOD_US + NUSCENES_OFFSETS_US[channel]
    token, is_key = f'{scene}-{channel}-{index}', index % 6 == 0
    filename = f'{"samples" if is_key else "sweeps"}/{channel}/{token}.jpg'
    write_image(root / filename, index)
    pose = [SPEED_M_S * elapsed_us * 1e-6, 0.0, 0.0]
    tables['ego_pose'].append({'token': token, 'rotation': [1, 0, 0, 0], 'translation': pose})
    tables['sample_data'].append(
        {
            'token': token,
            'sample_token': f'a-{scene}',
            'ego_pose_token': token,
            'calibrated_sensor_token': f'c-{channel}',
            'timestamp': 1_532_402_927_600_000 + elapsed_us,
            'is_key_frame': is_key,
            'width': WIDTH,
            'height': HEIGHT,
            'filename': filename,
        }
    )
