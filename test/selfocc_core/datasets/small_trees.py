"""Tiny trees in the on-disk form of public datasets, with pictures and numbers made up here.

All drive straight ahead at 10 m/s with a frame in 0.1 s; the camera sits 0.3 m ahead of and 0.1 m
below the LiDAR where the two have their own places.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, FOCAL_PX = 64, 32, 40.0
SPEED_M_S, STEP_NS = 10.0, 100_000_000
KITTI_DRIVE = '2011_09_26_drive_0042_sync'
CAMERA0_FROM_LIDAR = np.array([[0, -1, 0, 0.0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]])
# Camera 2 is 0.06 m left of camera 0.
PROJECTION = np.array([[FOCAL_PX, 0, 31, FOCAL_PX * 0.06], [0, FOCAL_PX, 15, 0], [0, 0, 1, 0]])
SCAN = np.array([[10, 1, -1.73, 0.5], [20, -2, 0, 0.25], [np.nan, 0, 0, 0]], np.float32)
NUSCENES_US = 1_532_402_927_600_000
LIDAR_LATE_US = 40_000  # in which the vehicle moves by a voxel of Occ3D
DGP_FIRST = '2019-04-12T22:01:05.000000Z'


def write_image(path: Path, grey: int = 80, width: int = WIDTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((HEIGHT, width, 3), grey, np.uint8))


def numbers(values) -> str:
    return ' '.join(f'{value:.12e}' for value in np.ravel(values))


def write_scan(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    SCAN.tofile(path)


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_kitti_raw(root: Path, frames: int = 4) -> Path:
    """Write a drive to the north; the navigation unit samples 7 ms after camera 2."""
    day = root / '2011_09_26'
    drive = day / KITTI_DRIVE
    for number in range(frames):
        write_image(drive / 'image_02/data' / f'{number:010d}.png', 80 + number)
        write_scan(drive / 'velodyne_points/data' / f'{number:010d}.bin')
    lines = {'S_rect_02': [WIDTH, HEIGHT], 'R_rect_00': np.eye(3), 'P_rect_02': PROJECTION}
    write_calibration(day / 'calib_cam_to_cam.txt', lines)
    rigid = {'R': CAMERA0_FROM_LIDAR[:3, :3], 'T': CAMERA0_FROM_LIDAR[:3, 3]}
    write_calibration(day / 'calib_velo_to_cam.txt', rigid)
    write_calibration(day / 'calib_imu_to_velo.txt', {'R': np.eye(3), 'T': [-0.81, 0.32, -0.8]})
    write_stamps(drive / 'image_02', 0, frames)
    write_stamps(drive / 'velodyne_points', -10_000_000, frames)
    write_oxts(drive, frames)
    return drive


def write_calibration(path: Path, lines) -> None:
    text = ''.join(f'{key}: {numbers(value)}\n' for key, value in lines.items())
    path.write_text('calib_time: 09-Jan-2012 13:57:47\n' + text)


def write_stamps(folder: Path, offset_ns: int, frames: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    first = np.datetime64('2011-09-26T13:10:51.168593664', 'ns')
    stamps = [first + np.timedelta64(n * STEP_NS + offset_ns, 'ns') for n in range(frames)]
    (folder / 'timestamps.txt').write_text(''.join(f'{s}\n'.replace('T', ' ') for s in stamps))


def write_oxts(drive: Path, frames: int) -> None:
    write_stamps(drive / 'oxts', 7_000_000, frames)
    (drive / 'oxts' / 'data').mkdir()
    for number in range(frames):
        # At the equator a metre is the same part of a degree in Mercator's map and on the ground.
        latitude_deg = np.degrees(SPEED_M_S * number * STEP_NS * 1e-9 / 6_378_137.0)
        sample = [latitude_deg, 8.4, 114.0, 0.0, 0.0, np.pi / 2, *[0.0] * 24]
        (drive / 'oxts' / 'data' / f'{number:010d}.txt').write_text(numbers(sample) + '\n')


def write_depth(path: Path, stored) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.asarray(stored))


def write_semantic_kitti(root: Path, frames: int = 3) -> Path:
    sequence = root / 'sequences' / '00'
    for number in range(frames):
        write_image(sequence / 'image_2' / f'{number:06d}.png', 80 + number)
        write_scan(sequence / 'velodyne' / f'{number:06d}.bin')
        (sequence / 'labels').mkdir(exist_ok=True)
        # A moving car of instance 7, a road, an outlier.
        labels = np.array([252 | 7 << 16, 40, 1], np.uint32)
        labels.tofile(sequence / 'labels' / f'{number:06d}.label')
    write_calibration(sequence / 'calib.txt', {'P2': PROJECTION, 'Tr': CAMERA0_FROM_LIDAR[:3]})
    (sequence / 'times.txt').write_text(''.join(f'{0.1 * n:e}\n' for n in range(frames)))
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 2, 3] = SPEED_M_S * 0.1 * np.arange(frames)
    (sequence / 'poses.txt').write_text(''.join(f'{numbers(pose[:3])}\n' for pose in poses))
    return sequence


def write_semantic_kitti_voxels(sequence: Path, number: int, labels, invalid) -> None:
    """Write voxels ``[256, 256, 32]``."""
    folder = sequence / 'voxels'
    folder.mkdir(exist_ok=True)
    np.asarray(labels, np.uint16).tofile(folder / f'{number:06d}.label')
    np.packbits(np.asarray(invalid, bool).reshape(-1)).tofile(folder / f'{number:06d}.invalid')


def write_nuscenes(root: Path) -> Path:
    """Write two samples: a camera with a sweep between them, and a LiDAR 40 ms later."""
    camera, lidar = (0, 250_000, 500_000), (LIDAR_LATE_US, 500_000 + LIDAR_LATE_US)
    rows = [('CAM_FRONT', us, us != 250_000) for us in camera]
    rows += [('LIDAR_TOP', us, True) for us in lidar]
    tables = {
        'scene': [{'token': 'scene', 'name': 'scene-0001'}],
        'sample': [
            {'token': f'a{index}', 'scene_token': 'scene', 'timestamp': NUSCENES_US + us}
            for index, us in enumerate(lidar)
        ],
        'sensor': [{'token': c, 'channel': c} for c in ('CAM_FRONT', 'LIDAR_TOP')],
        'calibrated_sensor': [
            calibrated('CAM_FRONT', [0.5, -0.5, 0.5, -0.5], PROJECTION[:, :3].tolist()),
            calibrated('LIDAR_TOP', [1.0, 0.0, 0.0, 0.0], []),
        ],
        'ego_pose': [
            {
                'token': f'{channel}{us}',
                'rotation': [1, 0, 0, 0],
                'translation': [SPEED_M_S * us * 1e-6, 2.0, 0.0],
            }
            for channel, us, _ in rows
        ],
        'sample_data': [
            {
                'token': f'{channel}{us}',
                'sample_token': 'a0' if us < 400_000 else 'a1',
                'ego_pose_token': f'{channel}{us}',
                'calibrated_sensor_token': channel,
                'timestamp': NUSCENES_US + us,
                'is_key_frame': is_key,
                'width': WIDTH,
                'height': HEIGHT,
                'filename': nuscenes_file(channel, us, is_key),
            }
            for channel, us, is_key in rows
        ],
    }
    for channel, us, is_key in rows:
        path = root / nuscenes_file(channel, us, is_key)
        if channel == 'CAM_FRONT':
            write_image(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.append(SCAN, np.ones((3, 1), np.float32), 1).tofile(path)
    for name, content in tables.items():
        write_json(root / 'v1.0-mini' / f'{name}.json', content)
    return root


def calibrated(channel: str, rotation: list[float], intrinsic: list) -> dict:
    return {
        'token': channel,
        'sensor_token': channel,
        'translation': [1.5, 0.0, 1.5],
        'rotation': rotation,
        'camera_intrinsic': intrinsic,
    }


def nuscenes_file(channel: str, us: int, is_key: bool) -> str:
    suffix = 'jpg' if channel == 'CAM_FRONT' else 'pcd.bin'
    return f'{"samples" if is_key else "sweeps"}/{channel}/{us}.{suffix}'


def write_occ3d(path: Path, semantics, mask_camera) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path, semantics=semantics, mask_camera=mask_camera, mask_lidar=np.ones_like(mask_camera)
    )


def write_dgp(root: Path, frames: int = 2, first: str = DGP_FIRST, ticks_per_us: int = 1) -> Path:
    """Write a scene; of each frame the LiDAR comes 20 ms before the camera.

    Args:
        root: Folder for it.
        frames: How many frames.
        first: Stamp of the first scan.
        ticks_per_us: 10 for stamps that are ten times too large.
    """
    scene = root / '000000'
    start = np.datetime64(first.removesuffix('Z'), 'us')
    data = []
    for number in range(frames):
        for sensor, late_us in (('LIDAR', 0), ('CAMERA_01', 20_000)):
            us = number * STEP_NS // 1000 + late_us
            data.append(
                dgp_datum(sensor, f'{start + np.timedelta64(us * ticks_per_us, "us")}Z', us)
            )
            path = scene / data[-1]['datum'][dgp_kind(sensor)]['filename']
            if sensor == 'LIDAR':
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez(path, data=SCAN.astype(np.float64))
            else:
                write_image(path)
    samples = [{'calibration_key': 'key', 'datum_keys': [], 'id': {}} for _ in range(frames)]
    write_json(scene / 'scene_abc.json', {'data': data, 'samples': samples})
    write_json(
        scene / 'calibration' / 'key.json',
        {
            'names': ['LIDAR', 'CAMERA_01'],
            'extrinsics': [
                dgp_pose((0, 0, 0), (0, 0, 0, 1)),
                dgp_pose((1.5, 0.0, 1.5), (-0.5, 0.5, -0.5, 0.5)),
            ],
            'intrinsics': [
                dict.fromkeys(('fx', 'fy', 'cx', 'cy', 'skew'), 0.0),
                {'fx': FOCAL_PX, 'fy': FOCAL_PX, 'cx': 31.0, 'cy': 15.0, 'skew': 0.0},
            ],
        },
    )
    return root


def dgp_kind(sensor: str) -> str:
    return 'point_cloud' if sensor == 'LIDAR' else 'image'


def dgp_datum(sensor: str, stamp: str, us: int) -> dict:
    driven_m = SPEED_M_S * us * 1e-6
    if sensor == 'LIDAR':
        pose = dgp_pose((driven_m, 0, 0), (0, 0, 0, 1))
        content = {
            'filename': f'point_cloud/LIDAR/{us}.npz',
            'pose': pose,
            'point_format': ['X', 'Y', 'Z', 'INTENSITY'],
        }
    else:
        pose = dgp_pose((driven_m + 1.5, 0.0, 1.5), (-0.5, 0.5, -0.5, 0.5))
        size = {'width': WIDTH, 'height': HEIGHT}
        content = {'filename': f'rgb/{sensor}/{us}.jpg', 'pose': pose, **size}
    return {'id': {'name': sensor, 'timestamp': stamp}, 'datum': {dgp_kind(sensor): content}}


def dgp_pose(translation, quaternion_xyzw) -> dict:
    return {
        'translation': dict(zip('xyz', translation, strict=True)),
        'rotation': dict(zip(('qx', 'qy', 'qz', 'qw'), quaternion_xyzw, strict=True)),
    }
