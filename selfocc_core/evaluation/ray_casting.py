"""Where rays first meet an occupied voxel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selfocc_core.voxels import VoxelGrid

Floats = NDArray[np.float64]


def first_hits(
    occupied: NDArray[np.bool_], grid: VoxelGrid, origin: Floats, directions: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    """Follow rays from voxel to voxel until one is occupied (Amanatides and Woo 1987).

    Args:
        occupied: Voxels ``[X, Y, Z]``.
        grid: Their grid.
        origin: Where all rays start ``[3]``, in the grid's frame.
        directions: Directions ``[R, 3]`` of any length.

    Returns:
        How many lengths of its direction each ray goes until it enters an occupied voxel ``[R]``,
        +Inf if it leaves the grid before, and that voxel ``[R, 3]``, -1 if there is none. Rays
        that start outside of the grid meet nothing.
    """
    shape = np.asarray(grid.shape)
    hit_at = np.full(len(directions), np.inf)
    hit_voxel = np.full((len(directions), 3), -1, np.int64)
    start = (origin - np.asarray(grid.minimum_m)) / grid.voxel_size_m
    if (start < 0).any() or (start >= shape).any():
        return hit_at, hit_voxel
    speed = directions / grid.voxel_size_m  # voxels per length of the direction
    with np.errstate(divide='ignore'):
        per_voxel = 1 / np.abs(speed)
    voxel = np.tile(np.floor(start).astype(np.int64), (len(directions), 1))
    to_face = np.where(speed > 0, voxel + 1 - start, start - voxel)
    next_face = np.where(speed != 0, to_face, 1.0) * per_voxel
    step, ray = np.sign(speed).astype(np.int64), np.arange(len(voxel))
    travelled = np.zeros(len(voxel))
    while len(ray):
        met = occupied[tuple(voxel.T)]
        hit_at[ray[met]], hit_voxel[ray[met]] = travelled[met], voxel[met]
        rows, axis = np.arange(len(ray)), next_face.argmin(1)
        travelled = next_face[rows, axis]
        voxel[rows, axis] += step[rows, axis]
        next_face[rows, axis] += per_voxel[rows, axis]
        entered = voxel[rows, axis]
        on = ~met & (entered >= 0) & (entered < shape[axis])
        ray, voxel, travelled = ray[on], voxel[on], travelled[on]
        next_face, step, per_voxel = next_face[on], step[on], per_voxel[on]
    return hit_at, hit_voxel
