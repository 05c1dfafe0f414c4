"""Occupied, free and unknown voxels from LiDAR sweeps around a moment.

Every ray says two things: something is where it ended, nothing is on the way there. Rays of
several sweeps, moved by the vehicle's motion, together see most surfaces; what moves meanwhile
would leave a trail and is told by the rays that go through it at other times. This is how Occ3D
(Tian et al. 2023, arXiv 2304.14365, section 3.2) makes its truth, except that there boxes of a
person's labels say what moves.

Each sweep has one vote on each voxel: *hit* if one of its rays ends there, *through* if one of its
rays goes through what other sweeps hit there. Above the ground, rays cross the upper part of many
voxels whose lower part is ground, and end a little farther. Such a ray contradicts no hit, and it
does not make the voxel free. Hence a ray goes *through* hits only if it gets behind them as seen
from the sensor: lower than the highest of them in a voxel below the sensor, higher than the lowest
in one above. And a voxel below the sensor is free only if a ray crosses its lower half.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.ray_casting import walk
from selfocc_core.voxels import VoxelGrid, VoxelState

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Voxels = NDArray[np.bool_]

_ROUGH_M = 0.1  # surfaces are rough and sloped, ranges are noisy
_SHADOW_M = 6.0  # longer than most of what moves
_RAYS_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False)
class Sweep:
    """Rays of a LiDAR.

    Attributes:
        stamp_ns: When they were measured; sweeps of one stamp are one sweep.
        origins: Where each ray starts ``[P, 3]``, in the frame of the grid.
        points: Where it ends ``[P, 3]``.
    """

    stamp_ns: int
    origins: Floats
    points: Floats

    @classmethod
    def at(cls, stamp_ns: int, origin: Floats, points: Floats) -> Self:
        """Return a sweep from one place ``[3]``; points that are not finite are left out."""
        points = np.asarray(points, np.float64).reshape(-1, 3)
        points = points[np.isfinite(points).all(1)]
        return cls(stamp_ns, np.broadcast_to(np.asarray(origin, np.float64), points.shape), points)


@dataclass(frozen=True, eq=False)
class LidarOccupancy:
    """What sweeps tell of a moment.

    Attributes:
        states: State of each voxel ``[X, Y, Z]`` (``VoxelState``).
        moving: Voxels ``[X, Y, Z]`` that the sweep of the moment hits and others see through.
    """

    states: NDArray[np.uint8]
    moving: Voxels


def lidar_occupancy(sweeps: Iterable[Sweep], reference_ns: int, grid: VoxelGrid) -> LidarOccupancy:
    """Return which voxels are occupied, free and unknown at a moment.

    A voxel is occupied if the sweep of the moment hits it, or if more sweeps hit it than see
    through what was hit there. Of the rest, those are free that rays cross. Behind what moves
    at the moment, up to 6 m, only the sweep of the moment can tell.

    Args:
        sweeps: The sweeps, moved by the vehicle's motion into the grid's frame at the moment.
        reference_ns: Stamp of the sweep of the moment.
        grid: The grid.

    Raises:
        SelfOccError: No sweep has the stamp of the moment.
    """
    by_stamp = _by_stamp(sweeps)
    if reference_ns not in by_stamp:
        raise SelfOccError(
            f'there is no LiDAR sweep at {reference_ns} ns: choose a stamp of one of the sweeps'
        )
    surfaces = _Surfaces.of([sweep for parts in by_stamp.values() for sweep in parts], grid)
    hits, throughs = np.zeros((2, surfaces.size), np.int32)
    crossed, crossed_now = np.zeros((2, surfaces.size), bool)
    for stamp_ns, parts in by_stamp.items():
        of_stamp = surfaces.look(parts)
        hits += of_stamp.hit
        throughs += of_stamp.through & ~of_stamp.hit
        crossed |= of_stamp.crossed
        if stamp_ns == reference_ns:
            hit_now, crossed_now = of_stamp.hit, of_stamp.crossed
    static = hits > throughs
    moving = hit_now & ~static
    hidden = surfaces.behind(by_stamp[reference_ns], moving) & ~crossed_now
    states = np.full(surfaces.size, VoxelState.UNKNOWN, np.uint8)
    states[crossed & ~hidden] = VoxelState.FREE
    states[static | hit_now] = VoxelState.OCCUPIED
    return LidarOccupancy(states.reshape(grid.shape), moving.reshape(grid.shape))


def _by_stamp(sweeps: Iterable[Sweep]) -> dict[int, list[Sweep]]:
    by_stamp: dict[int, list[Sweep]] = {}
    for sweep in sweeps:
        by_stamp.setdefault(sweep.stamp_ns, []).append(sweep)
    return by_stamp


@dataclass(frozen=True, eq=False)
class _Look:
    """What one sweep says of the flattened voxels ``[V]``."""

    hit: Voxels
    through: Voxels
    crossed: Voxels


@dataclass(frozen=True, eq=False)
class _Surfaces:
    """What all sweeps hit: the lowest and the highest point in each voxel ``[V]``."""

    grid: VoxelGrid
    lowest_m: Floats
    highest_m: Floats

    @classmethod
    def of(cls, sweeps: Sequence[Sweep], grid: VoxelGrid) -> Self:
        size = int(np.prod(grid.shape))
        lowest_m, highest_m = np.full(size, np.inf), np.full(size, -np.inf)
        for sweep in sweeps:
            voxel = _voxel_of(sweep.points, grid)
            inside = voxel >= 0
            np.minimum.at(lowest_m, voxel[inside], sweep.points[inside, 2])
            np.maximum.at(highest_m, voxel[inside], sweep.points[inside, 2])
        return cls(grid, lowest_m, highest_m)

    @property
    def size(self) -> int:
        return len(self.lowest_m)

    def look(self, parts: Sequence[Sweep]) -> _Look:
        hit, through, crossed = np.zeros((3, self.size), bool)
        for sweep in _pieces(parts):
            end = _voxel_of(sweep.points, self.grid)
            hit[end[end >= 0]] = True
            direction = sweep.points - sweep.origins
            for step in walk(self.grid, sweep.origins, direction, reach=1.0):
                kept = np.flatnonzero(step.voxel != end[step.ray])
                ray, voxel = step.ray[kept], step.voxel[kept]
                between = np.stack([step.entered[kept], step.left[kept]])
                heights_m = sweep.origins[ray, 2] + direction[ray, 2] * between
                middle_m = self.grid.axis_centers(2)[voxel % self.grid.shape[2]]
                from_above = middle_m < sweep.origins[ray, 2]
                crossed[voxel[~from_above | (heights_m.min(0) < middle_m)]] = True
                lower = heights_m.min(0) < self.highest_m[voxel] - _ROUGH_M
                higher = heights_m.max(0) > self.lowest_m[voxel] + _ROUGH_M
                through[voxel[np.where(from_above, lower, higher)]] = True
        return _Look(hit, through, crossed)

    def behind(self, parts: Sequence[Sweep], moving: Voxels) -> Voxels:
        """Return the voxels ``[V]`` in the shadow of what moves."""
        hidden = np.zeros(self.size, bool)
        for sweep in _pieces(parts):
            end = _voxel_of(sweep.points, self.grid)
            chosen = (end >= 0) & moving[end]
            away = sweep.points[chosen] - sweep.origins[chosen]
            away *= _SHADOW_M / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
            for step in walk(self.grid, sweep.points[chosen], away, reach=1.0):
                hidden[step.voxel] = True
        return hidden


def _pieces(parts: Sequence[Sweep]) -> Iterator[Sweep]:
    """Yield the rays in portions, so that memory does not grow with a sweep."""
    for sweep in parts:
        for start in range(0, len(sweep.points), _RAYS_AT_ONCE):
            piece = slice(start, start + _RAYS_AT_ONCE)
            yield Sweep(sweep.stamp_ns, sweep.origins[piece], sweep.points[piece])


def _voxel_of(points: Floats, grid: VoxelGrid) -> Indices:
    """Return the flattened voxel ``[P]`` of each point; -1 outside of the grid."""
    ijk, inside = grid.indices(points)
    return np.where(inside, np.ravel_multi_index(tuple(ijk.T), grid.shape), -1)
