"""A drive over a flat plane with one block on it, and a node's recording of it.

Everything is analytic, so that the tests know what the scores must be.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import Camera, Rig, nuscenes_like_rig
from selfocc_core.evaluation.replay import ReplayStatistics
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.transforms import transform_from_quaternion
from selfocc_core.voxels import VoxelGrid

GRID = VoxelGrid((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (32, 32, 16))
STAMPS_NS = tuple(1_700_000_000 * 10**9 + k * 500_000_000 for k in range(3))
SPEED_M_S = 4.0
ROAD, BUILDING = CLASS_NAMES.index('road'), CLASS_NAMES.index('building')

ego_from_lidar = transform_from_quaternion((0.9, 0.0, 1.8), (0, 0, -np.sqrt(0.5), np.sqrt(0.5)))


def rig() -> Rig:
    return nuscenes_like_rig(64, 36)


def shutter_ns(camera: Camera, stamp_ns: int) -> int:
    return stamp_ns + 5_000_000 * rig().names.index(camera.name)


def world_from_ego(stamp_ns: int) -> np.ndarray:
    seconds = (stamp_ns - STAMPS_NS[0]) * 1e-9
    return transform_from_quaternion((SPEED_M_S * seconds, 2.0, 0.0), (0, 0, 0.6, 0.8))


def plane_depth(camera: Camera) -> np.ndarray:
    """Depth of the plane z = 0 at each pixel; +Inf above the horizon."""
    v, u = np.mgrid[: camera.height, : camera.width]
    rays = np.stack([u, v, np.ones(u.shape)], -1) @ np.linalg.inv(camera.image_from_camera).T
    downwards = rays @ camera.ego_from_camera[2, :3]
    with np.errstate(divide='ignore'):
        depth = np.where(downwards < -1e-9, -camera.ego_from_camera[2, 3] / downwards, np.inf)
    return depth.astype(np.float32)


def true_voxels() -> dict[str, np.ndarray]:
    """Fields of the truth: a road layer just below z = 0 and a block ahead, all visible."""
    centers = GRID.centers()
    road = np.abs(centers[..., 2] + 0.2) < 0.1
    block = (np.abs(centers[..., 0] - 12) < 2) & (np.abs(centers[..., 1]) < 3) & (
        (centers[..., 2] > 0) & (centers[..., 2] < 2)
    )  # fmt: skip
    known = (centers[..., 2] > -0.4).reshape(-1)  # below the road nothing is visible
    points = centers.reshape(-1, 3)[known].astype(np.float32)
    occupied = (road | block).reshape(-1)[known]
    label = np.where(block, BUILDING, np.where(road, ROAD, 0)).reshape(-1)[known]
    return {
        **dict(zip('xyz', points.T, strict=True)),
        'state': occupied.astype(np.uint8),
        'label': label.astype(np.uint8),
        'visible': np.ones(len(points), np.uint8),
    }


def lidar_points() -> np.ndarray:
    """Points of the plane in the LiDAR frame, everywhere around."""
    x, y = np.meshgrid(np.arange(-30, 30, 0.7), np.arange(-30, 30, 0.7))
    ground = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    rotation, offset = ego_from_lidar[:3, :3], ego_from_lidar[:3, 3]
    return ((ground - offset) @ rotation).astype(np.float32)


def write_drive(path: Path, voxels: bool = True, depth: bool = True, lidar: bool = False) -> Path:
    with BagWriter(path) as bag:
        mounted = {c.frame_id: c.ego_from_camera for c in rig()} | {'lidar': ego_from_lidar}
        links = [messages.transform_stamped('base_link', f, t, 0) for f, t in mounted.items()]
        bag.write('/tf_static', messages.tf_message(links), STAMPS_NS[0])
        for stamp_ns in range(STAMPS_NS[0], STAMPS_NS[-1] + 10**8, 2 * 10**7):
            pose = world_from_ego(stamp_ns)
            odometry = messages.odometry('odom', pose, (SPEED_M_S, 0, 0), (0, 0, 0), stamp_ns)
            bag.write('/odometry', odometry, stamp_ns)
        for stamp_ns in STAMPS_NS:
            for camera in rig():
                _write_camera(bag, camera, shutter_ns(camera, stamp_ns), depth)
            if voxels:
                cloud = messages.point_cloud(true_voxels(), stamp_ns, 'base_link')
                bag.write('/ground_truth/voxels', cloud, stamp_ns)
            if lidar:
                fields = dict(zip('xyz', lidar_points().T, strict=True))
                lidar_ns = stamp_ns + 40_000_000
                bag.write(
                    '/lidar/points', messages.point_cloud(fields, lidar_ns, 'lidar'), lidar_ns
                )
    return path


def _write_camera(bag: BagWriter, camera: Camera, stamp_ns: int, depth: bool) -> None:
    image = np.full((camera.height, camera.width, 3), 90, np.uint8)
    topic = f'/camera/{camera.name}'
    compressed = messages.compressed_image(image, stamp_ns, camera.frame_id)
    bag.write(f'{topic}/image/compressed', compressed, stamp_ns)
    bag.write(f'{topic}/camera_info', messages.camera_info(camera, stamp_ns), stamp_ns)
    if depth:
        true = messages.raw_image(plane_depth(camera), stamp_ns, camera.frame_id)
        bag.write(f'/ground_truth/{camera.name}/depth', true, stamp_ns)


def write_recording(path: Path, depth_scale: float = 1.0, frames: int = 3) -> Path:
    """Write what a node would publish that knows the road but not the block."""
    fields = true_voxels()
    kept = (fields['state'] == 1) & (fields['label'] == ROAD)
    cloud = {name: fields[name][kept] for name in ('x', 'y', 'z', 'label')}
    with BagWriter(path) as bag:
        for stamp_ns in STAMPS_NS[:frames]:
            points = messages.point_cloud(cloud, stamp_ns, 'base_link')
            bag.write('/surround/occupancy/points', points, stamp_ns)
            for camera in rig():
                _write_depth(bag, camera, shutter_ns(camera, stamp_ns), depth_scale)
    return path


def _write_depth(bag: BagWriter, camera: Camera, stamp_ns: int, scale: float) -> None:
    depth_m = plane_depth(camera) * np.float32(scale)
    topic = f'/surround/{camera.name}/depth'
    bag.write(f'{topic}/image', messages.raw_image(depth_m, stamp_ns, camera.frame_id), stamp_ns)
    bag.write(f'{topic}/camera_info', messages.camera_info(replace(camera), stamp_ns), stamp_ns)


def statistics(model: Path, frames: int = 3) -> ReplayStatistics:
    return ReplayStatistics(
        images_published=18,
        frame_sets=3,
        frames_published=frames,
        dropped={'too slow': 3 - frames} if frames < 3 else {},
        latency_ms=tuple(100.0 + 10 * k for k in range(frames)),
        realtime_factor=1.0,
        backend='onnxruntime-cpu',
        model=str(model),
    )
