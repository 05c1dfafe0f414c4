"""RayIoU: does a ray meet something where it should?

Liu et al. 2024 (SparseOcc, arXiv 2312.17118), section 4: rays as of a LiDAR are cast through the
true and the predicted voxels. A ray is a true positive if the two first hits differ by less than a
threshold; rays that meet nothing in the truth are left out, as in the released evaluation.
``RayIoU = TP / (true hits + predicted hits - TP)``, averaged over 1, 2 and 4 m.

What differs from it here: voxels have no classes, so occupied is the only one; rays start at the
vehicle's present position only, not also at those along its way; and only rays count that end in
a voxel which a camera sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfocc_core.evaluation.occupancy import OccupancyTruth, Voxels
from selfocc_core.evaluation.ray_casting import first_hits
from selfocc_core.voxels import VoxelGrid

THRESHOLDS_M = (1.0, 2.0, 4.0)

_HIGHEST_RAD = 0.21
_AZIMUTHS = 360

Floats = NDArray[np.float64]


def ray_directions() -> Floats:
    """Return the unit directions ``[R, 3]`` of the rays, in the ego frame.

    The lower ten turns meet level ground at 1 to 10 times the sensor's height, so that near and
    far weigh alike; above them turns follow in steps of the last angle up to 0.21 rad. One ray
    per degree of azimuth.
    """
    elevations = [-math.atan(1 / k) for k in range(1, 11)]
    step = elevations[-1] - elevations[-2]
    while elevations[-1] < _HIGHEST_RAD:
        elevations.append(elevations[-1] + step)
    azimuths = np.arange(_AZIMUTHS) * (2 * np.pi / _AZIMUTHS)
    up, around = np.meshgrid(elevations, azimuths, indexing='ij')
    rays = [np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)]
    return np.stack(rays, -1).reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class TrueHits:
    """The rays of a moment that count.

    Attributes:
        grid: Grid of the truth.
        origin: Where the rays start ``[3]``, in the ego frame.
        directions: Unit directions ``[R, 3]``.
        distance_m: Distance of the true first hits ``[R]``.
    """

    grid: VoxelGrid
    origin: Floats
    directions: Floats
    distance_m: Floats

    @classmethod
    def of(cls, truth: OccupancyTruth, grid: VoxelGrid, origin: Floats) -> TrueHits:
        """Cast rays from ``origin`` through the truth; keep those that end in a visible voxel."""
        directions = ray_directions()
        distance_m, voxel = first_hits(truth.occupied, grid, origin, directions)
        kept = np.isfinite(distance_m)
        kept[kept] = truth.visible[tuple(voxel[kept].T)]
        return cls(grid, origin, directions[kept], distance_m[kept])


class RayIou:
    """Accumulates the rays of many moments."""

    def __init__(self) -> None:
        self._true = self._predicted = 0
        self._agreeing = dict.fromkeys(THRESHOLDS_M, 0)

    def add(self, predicted: Voxels, true: TrueHits) -> None:
        """Take the predicted occupied voxels ``[X, Y, Z]`` of a moment and the true hits."""
        distance_m, _ = first_hits(predicted, true.grid, true.origin, true.directions)
        self._true += len(distance_m)
        self._predicted += int(np.isfinite(distance_m).sum())
        error_m = np.abs(distance_m - true.distance_m)
        for threshold_m in THRESHOLDS_M:
            self._agreeing[threshold_m] += int((error_m < threshold_m).sum())

    def values(self) -> dict[str, float | None]:
        """Return ``ray_iou`` and its part at each threshold; ``None`` if no ray counts."""
        names = {threshold_m: f'ray_iou_{threshold_m:g}m' for threshold_m in THRESHOLDS_M}
        if not self._true:
            return dict.fromkeys(['ray_iou', *names.values()])
        parts = {
            names[threshold_m]: count / (self._true + self._predicted - count)
            for threshold_m, count in self._agreeing.items()
        }
        return {'ray_iou': float(np.mean(list(parts.values()))), **parts}
