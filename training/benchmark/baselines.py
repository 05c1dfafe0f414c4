"""What one can say without looking: the same voxels and depths at every moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera, Rig
from selfocc_core.evaluation.depth import flat_ground_depth, volume_exit_depth
from selfocc_core.evaluation.occupancy import Voxels, flat_ground_occupancy, occupied_voxels
from selfocc_core.evaluation.ray_casting import first_hits
from selfocc_core.voxels import VoxelGrid
from training.benchmark.predictions import Prediction
from training.benchmark.training_maps import TrainingMaps
from training.benchmark.views import ego_points, lattice_rays

DESCRIPTIONS = {
    'flat_ground': 'the plane z = 0 of the ego frame, else the exit from the volume; occupied is '
    'the layer of voxels under the plane',
    'below_road': 'every voxel below z = 0 is occupied; depth as flat_ground',
    'mean_map': 'voxels that in training worlds are occupied in more than a share of the moments '
    'in which they are visible, at the share of best IoU there; depth by rays cast through them',
    'mean_map_obstacles': 'the same at the share of best IoU of obstacles',
    'median_depth': 'per pixel the median of the true depth within the volume in training worlds; '
    'occupied are the voxels in which these points lie',
}

Floats = NDArray[np.float64]


def baselines(rig: Rig, grid: VoxelGrid, maps: TrainingMaps) -> dict[str, Prediction]:
    """Return what each baseline predicts, at every moment alike."""
    below = flat_ground_occupancy(grid)
    surface = below & (grid.centers()[..., 2] > -grid.voxel_size_m[2])
    mean_map = maps.occupied(maps.threshold)
    obstacles = maps.occupied(maps.obstacle_threshold)
    ground_m = _depths(rig, lambda camera: _flat_ground(camera, grid))
    median_m = _depths(rig, lambda camera: _closed(maps.median_depth_m[camera.name], camera, grid))
    return {
        'flat_ground': _prediction(surface, ground_m),
        'below_road': _prediction(below, ground_m),
        'mean_map': _prediction(mean_map, _cast_depths(rig, mean_map, grid)),
        'mean_map_obstacles': _prediction(obstacles, _cast_depths(rig, obstacles, grid)),
        'median_depth': _prediction(_surfaces(rig, maps.median_depth_m, grid), median_m),
    }


def _prediction(occupied: Voxels, depth_m: Mapping[str, Floats]) -> Prediction:
    covered = {name: np.ones(depth.shape, bool) for name, depth in depth_m.items()}
    return Prediction(occupied, depth_m, covered)


def _depths(rig: Rig, of_camera: Callable[[Camera], Floats]) -> dict[str, Floats]:
    return {camera.name: of_camera(camera) for camera in rig}


def _flat_ground(camera: Camera, grid: VoxelGrid) -> Floats:
    rays = lattice_rays(camera)
    depth_m = flat_ground_depth(rays.reshape(-1, 3), camera.ego_from_camera, grid)
    return depth_m.reshape(rays.shape[:2])


def _closed(depth_m: NDArray[np.floating], camera: Camera, grid: VoxelGrid) -> Floats:
    """Put the exit from the volume where there is no depth."""
    exit_m = volume_exit_depth(lattice_rays(camera).reshape(-1, 3), camera.ego_from_camera, grid)
    return np.where(np.isfinite(depth_m), depth_m, exit_m.reshape(depth_m.shape))


def _cast_depths(rig: Rig, occupied: Voxels, grid: VoxelGrid) -> dict[str, Floats]:
    def cast(camera: Camera) -> Floats:
        rays = lattice_rays(camera)
        directions = rays.reshape(-1, 3) @ camera.ego_from_camera[:3, :3].T
        # Rays have unit length along the optical axis, so the distance is the depth.
        depth_m, _ = first_hits(occupied, grid, camera.ego_from_camera[:3, 3], directions)
        return _closed(depth_m.reshape(rays.shape[:2]), camera, grid)

    return _depths(rig, cast)


def _surfaces(rig: Rig, depth_m: Mapping[str, NDArray[np.float32]], grid: VoxelGrid) -> Voxels:
    points = []
    for camera in rig:
        finite = np.isfinite(depth_m[camera.name])
        points.append(ego_points(camera, np.where(finite, depth_m[camera.name], 0))[finite])
    return occupied_voxels(np.concatenate(points), grid)
