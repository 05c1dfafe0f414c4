"""Rays through a grid of voxels: which voxels they cross, and where they first meet something."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfocc_core.voxels import VoxelGrid

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Step:
    """The next voxel of each ray that still goes on.

    Attributes:
        ray: Number of the ray ``[N]``.
        voxel: Its voxel ``[N]``, as an index into the flattened grid.
        entered: How many lengths of its direction it goes until it enters the voxel ``[N]``.
        left: The same until it leaves the voxel, or ends in it ``[N]``.
    """

    ray: Indices
    voxel: Indices
    entered: Floats
    left: Floats


def walk(
    grid: VoxelGrid,
    origins: Floats,
    directions: Floats,
    reach: float = np.inf,
    opaque: NDArray[np.bool_] | None = None,
) -> Iterator[Step]:
    """Follow rays from voxel to voxel (Amanatides and Woo 1987).

    Args:
        grid: The grid; rays that start outside of it are followed from where they enter it.
        origins: Where the rays start ``[3]`` or ``[R, 3]``, in the grid's frame.
        directions: Directions ``[R, 3]`` of any length.
        reach: How many lengths of its direction a ray goes.
        opaque: Voxels ``[X, Y, Z]`` behind which no ray goes on.

    Yields:
        The voxels that the rays cross, one for each ray that has not ended.
    """
    start = ((origins - np.asarray(grid.minimum_m)) / grid.voxel_size_m).reshape(-1, 3).T
    speed = (directions / grid.voxel_size_m).T  # voxels per length of the direction [3, R]
    entry, end = _within(np.array(grid.shape).reshape(3, 1), start, speed, reach)
    ray = np.flatnonzero(entry < end)
    start, step = np.broadcast_to(start, speed.shape), np.sign(speed).astype(np.int64)
    position = np.floor(start[:, ray] + speed[:, ray] * entry[ray]).astype(np.int64)
    position = position.clip(0, np.array(grid.shape).reshape(3, 1) - 1)
    strides = np.array([grid.shape[1] * grid.shape[2], grid.shape[2], 1])
    face = position + (speed[:, ray] > 0)  # the next face on each axis [3, N]
    with np.errstate(divide='ignore', invalid='ignore'):
        at_face = np.where(step[:, ray] != 0, (face - start[:, ray]) / speed[:, ray], np.inf)
    voxel, entered, rows = strides @ position, entry[ray], np.arange(len(ray))
    while len(ray):
        axis = at_face.argmin(0)
        left = np.minimum(at_face[axis, rows], end[ray])
        yield Step(ray, voxel, entered, left)
        on = left < end[ray]
        if opaque is not None:
            on &= ~opaque.reshape(-1)[voxel]
        ray, axis, face, at_face = ray[on], axis[on], face[:, on], at_face[:, on]
        voxel, entered, rows = voxel[on], left[on], np.arange(len(ray))
        taken = step[axis, ray]
        voxel += taken * strides[axis]
        face[axis, rows] += taken
        # From the face, not from the step before: the end of a ray is found without rounding.
        at_face[axis, rows] = (face[axis, rows] - start[axis, ray]) / speed[axis, ray]


def _within(shape: Indices, start: Floats, speed: Floats, reach: float) -> tuple[Floats, Floats]:
    """Return when rays ``[3, R]`` enter a box from 0 to ``shape``, and leave it or end ``[R]``."""
    with np.errstate(divide='ignore', invalid='ignore'):
        near, far = ((np.where(speed > 0, f, shape - f) - start) / speed for f in (0, shape))
    beside = (speed == 0) & ((start < 0) | (start >= shape))
    near = np.where(speed != 0, near, np.where(beside, np.inf, -np.inf))
    far = np.where(speed != 0, far, np.inf)
    return np.maximum(near.max(0), 0.0), np.minimum(far.min(0), reach)


def first_hits(
    occupied: NDArray[np.bool_], grid: VoxelGrid, origins: Floats, directions: Floats
) -> tuple[Floats, Indices]:
    """Follow rays until they enter an occupied voxel.

    Args:
        occupied: Voxels ``[X, Y, Z]``.
        grid: Their grid.
        origins: Where the rays start ``[3]`` or ``[R, 3]``, in the grid's frame.
        directions: Directions ``[R, 3]`` of any length.

    Returns:
        How many lengths of its direction each ray goes until it enters an occupied voxel ``[R]``,
        +Inf if it leaves the grid before, and that voxel ``[R, 3]``, -1 if there is none.
    """
    hit_at = np.full(len(directions), np.inf)
    hit_voxel = np.full((len(directions), 3), -1, np.int64)
    for crossed in walk(grid, origins, directions, opaque=occupied):
        met = occupied.reshape(-1)[crossed.voxel]
        ray = crossed.ray[met]
        hit_at[ray] = crossed.entered[met]
        hit_voxel[ray] = np.stack(np.unravel_index(crossed.voxel[met], grid.shape), -1)
    return hit_at, hit_voxel


def far_sides(voxels: Indices, grid: VoxelGrid, origins: Floats, directions: Floats) -> Floats:
    """Return how many lengths of its direction each ray goes until it leaves a voxel ``[R]``.

    Args:
        voxels: A voxel ``[R, 3]`` of each ray ``[R]``.
        grid: The grid.
        origins: Where the rays start ``[3]`` or ``[R, 3]``.
        directions: Directions ``[R, 3]``.
    """
    faces_m = np.asarray(grid.minimum_m) + grid.voxel_size_m * (voxels + (directions > 0))
    with np.errstate(divide='ignore', invalid='ignore'):
        at_faces = np.where(directions != 0, (faces_m - origins) / directions, np.inf)
    return np.asarray(at_faces.min(-1), np.float64)
