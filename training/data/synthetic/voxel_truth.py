"""Exact occupancy of a scene on a voxel grid in the ego frame, with what the cameras can see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera, Rig
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.transforms import Transform, transform_points
from selfocc_core.voxels import VoxelGrid, VoxelState
from training.data.synthetic.camera_renderer import pixel_rays
from training.data.synthetic.meshes import Mesh
from training.data.synthetic.voxelizer import count_crossings, mark_rays, mark_surfaces
from training.data.synthetic.world import Scene

DEFAULT_GRID = VoxelGrid((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (128, 128, 16))
VISIBILITY_WIDTH = 320
_FAR_M = 120.0

# Where several surfaces share a voxel, the thinner and rarer class names it.
_BY_RISING_RANK = (
    'free',
    'terrain',
    'road',
    'sidewalk',
    'building',
    'other',
    'vegetation',
    'vehicle',
    'pedestrian',
    'pole',
)
RANK = np.array([_BY_RISING_RANK.index(name) for name in CLASS_NAMES], np.uint8)


@dataclass(frozen=True)
class VoxelTruth:
    """Occupancy at one stamp, arrays [X,Y,Z].

    Attributes:
        grid: the grid, in `base_link`.
        occupied: whether the voxel holds surface or the inside of a solid.
        label: class id, 0 where free.
        visible: whether a camera ray reaches the voxel.
    """

    grid: VoxelGrid
    occupied: NDArray[np.bool_]
    label: NDArray[np.uint8]
    visible: NDArray[np.bool_]

    def fields(self) -> dict[str, NDArray[np.float32] | NDArray[np.uint8]]:
        """Return every occupied and every visible free voxel as fields of a point cloud."""
        kept = self.occupied | self.visible
        x, y, z = self.grid.centers()[kept].astype(np.float32).T
        state = np.where(self.occupied[kept], VoxelState.OCCUPIED, VoxelState.FREE)
        return {
            'x': x,
            'y': y,
            'z': z,
            'state': state.astype(np.uint8),
            'label': self.label[kept],
            'visible': self.visible[kept].astype(np.uint8),
        }


def occupancy(
    grid: VoxelGrid, meshes: list[Mesh], world_from_ego: Transform
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Voxelise closed meshes (and the ground, solid below its surface).

    Args:
        grid: grid in the ego frame.
        meshes: triangles in world coordinates.
        world_from_ego: pose of the ego.

    Returns:
        occupied [X,Y,Z] and label [X,Y,Z] (0 where free).
    """
    surface = np.zeros(grid.shape, np.uint8)
    turns, top = np.zeros(grid.shape, np.int32), np.zeros(grid.shape, np.uint8)
    for mesh in meshes:
        triangles, label = _in_grid(grid, mesh, world_from_ego)
        mark_surfaces(triangles, label, RANK, surface)
        count_crossings(triangles, label, turns, top)
    inside = np.cumsum(turns[:, :, ::-1], axis=2)[:, :, ::-1] > 0
    solid = np.where(inside, _nearest_above(top), 0)
    label = np.where(surface > 0, surface, solid).astype(np.uint8)
    return inside | (surface > 0), label


def _in_grid(
    grid: VoxelGrid, mesh: Mesh, world_from_ego: Transform
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return the triangles over the grid's columns in units of voxels, and their labels."""
    # einsum, not @: threads of BLAS spin longer than this takes.
    rotation, position = world_from_ego[:3, :3], world_from_ego[:3, 3]
    in_ego = np.einsum('tci,ij->tcj', mesh.vertices - position, rotation)
    triangles = (in_ego - np.asarray(grid.minimum_m)) / grid.voxel_size_m
    over = (triangles.max(axis=1) >= (0, 0, 0)).all(axis=1)
    over &= (triangles.min(axis=1)[:, :2] <= grid.shape[:2]).all(axis=1)
    return triangles[over], mesh.label[over]


def _nearest_above(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill zeros downwards with the nearest label above, [X,Y,Z]."""
    filled: NDArray[np.uint8] = label.copy()
    for z in range(label.shape[2] - 2, -1, -1):
        empty = filled[:, :, z] == 0
        filled[:, :, z][empty] = filled[:, :, z + 1][empty]
    return filled


def visibility(
    grid: VoxelGrid, cameras: list[Camera], scene: Scene, world_from_ego: Transform
) -> NDArray[np.bool_]:
    """Return which voxels [X,Y,Z] a ray through some pixel crosses or ends in."""
    reached = np.zeros(grid.shape, np.bool_)
    low, size = np.asarray(grid.minimum_m), grid.voxel_size_m
    for camera in cameras:
        rays = pixel_rays(camera, 1) @ camera.ego_from_camera[:3, :3].T
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        start = camera.ego_from_camera[:3, 3]
        direction = (rays @ world_from_ego[:3, :3].T).astype(np.float32)
        world_start = transform_points(world_from_ego, start).astype(np.float32)
        distance, _ = scene.cast(np.broadcast_to(world_start, direction.shape), direction)
        reach = np.minimum(distance.astype(np.float64), _FAR_M) + 1e-3
        end = start + rays * reach[:, None]
        mark_rays((start - low) / size, (end - low) / size, reached)
    return reached


class VoxelTruthMaker:
    """Makes voxel truth of a world for a rig.

    Args:
        rig: cameras whose view decides visibility; rays are cast at `VISIBILITY_WIDTH`.
        grid: the grid.
    """

    def __init__(self, rig: Rig, grid: VoxelGrid = DEFAULT_GRID) -> None:
        self._grid = grid
        self._cameras = [_resized(camera, VISIBILITY_WIDTH) for camera in rig]

    def at(self, scene: Scene, time_s: float) -> VoxelTruth:
        """Return the truth at a time; the scene must have been moved there."""
        world_from_ego = scene.world.ego.world_from_ego(time_s)
        meshes = [scene.world.static, scene.world.moving_mesh(time_s)]
        occupied, label = occupancy(self._grid, meshes, world_from_ego)
        visible = visibility(self._grid, self._cameras, scene, world_from_ego)
        return VoxelTruth(self._grid, occupied, label, visible)


def _resized(camera: Camera, width: int) -> Camera:
    scale = width / camera.width
    height = round(camera.height * scale)
    image_from_camera = camera.image_from_camera.copy()
    # Pixel centres are integers: the edge of the image is at -0.5.
    image_from_camera[:2, 2] = (image_from_camera[:2, 2] + 0.5) * scale - 0.5
    image_from_camera[[0, 1], [0, 1]] *= scale
    return Camera(
        camera.name, camera.frame_id, width, height, image_from_camera, camera.ego_from_camera
    )
