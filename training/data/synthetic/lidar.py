"""A LiDAR-like sweep from the roof: 32 beams, all rays at one instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfocc_core.transforms import Transform
from training.data.synthetic.world import Scene

FRAME_ID = 'lidar'
TOPIC = '/lidar/points'
BEAMS, STEPS = 32, 1080
ELEVATION_DEG = (-30.0, 10.0)
RANGE_M = (1.0, 70.0)


def ego_from_lidar() -> Transform:
    """Return where the sensor sits: on the roof, level."""
    transform = np.eye(4)
    transform[:3, 3] = (0.94, 0.0, 1.84)
    return transform


@dataclass(frozen=True)
class Sweep:
    """Returns of one turn.

    Attributes:
        points: positions in the sensor frame in metres, [P,3] float32.
        intensity: reflectance times the cosine of incidence, 0..1, [P] float32.
    """

    points: NDArray[np.float32]
    intensity: NDArray[np.float32]


def beam_directions() -> NDArray[np.float64]:
    """Return the unit ray directions in the sensor frame, [BEAMS*STEPS,3]."""
    elevation = np.radians(np.linspace(*ELEVATION_DEG, BEAMS))
    azimuth = np.arange(STEPS) * (2 * np.pi / STEPS)
    up, around = np.meshgrid(elevation, azimuth, indexing='ij')
    rays = [np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)]
    return np.stack(rays, axis=-1).reshape(-1, 3)


def sweep(scene: Scene, world_from_ego: Transform) -> Sweep:
    """Scan a scene.

    Args:
        scene: the world at the instant of the sweep.
        world_from_ego: pose of the ego at that instant.
    """
    world_from_lidar = world_from_ego @ ego_from_lidar()
    rays = beam_directions()
    direction = (rays @ world_from_lidar[:3, :3].T).astype(np.float32)
    origin = np.broadcast_to(world_from_lidar[:3, 3].astype(np.float32), direction.shape)
    distance, primitive = scene.cast(origin, direction)
    seen = (distance > RANGE_M[0]) & (distance < RANGE_M[1])
    table, hit = scene.table, primitive[seen]
    cosine = np.abs((table.facing[hit] * direction[seen]).sum(axis=1))
    reflectance = np.clip(table.tint[hit].mean(axis=1) * 0.6, 0.0, 1.0)
    points = rays[seen] * distance[seen, None]
    return Sweep(points.astype(np.float32), (reflectance * cosine).astype(np.float32))
