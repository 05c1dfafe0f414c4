"""F-score of obstacles at a tolerance: near misses of thin surfaces are not misses.

An IoU of thin things falls to nothing when a wall is one voxel off. The F-score asks instead how
many claimed voxels have a true one near (precision) and how many true ones a claimed one (recall),
as Knapitsch et al. 2017 (Tanks and Temples) do for points.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from selfocc_core.evaluation.occupancy import OccupancyTruth, Voxels
from selfocc_core.voxels import VoxelGrid

TOLERANCE_M = 0.8

_ROUNDING_M = 1e-6


class FScore:
    """Accumulates how near the claimed and the true obstacle voxels of many moments are.

    Both are taken within the obstacle domain of the truth: what a camera sees, without the ground.

    Args:
        grid: Grid of the predictions.
        tolerance_m: Largest distance of two voxel centres that are near each other.
    """

    def __init__(self, grid: VoxelGrid, tolerance_m: float = TOLERANCE_M) -> None:
        self._grid, self._tolerance_m = grid, tolerance_m
        self._claimed = self._confirmed = self._real = self._found = 0

    def add(self, predicted: Voxels, truth: OccupancyTruth) -> None:
        """Take the predicted occupied voxels ``[X, Y, Z]`` of a moment and the truth."""
        claimed = predicted & truth.obstacle_domain
        real = truth.obstacles & truth.visible
        self._claimed += int(np.count_nonzero(claimed))
        self._confirmed += int(np.count_nonzero(claimed & self._near(real)))
        self._real += int(np.count_nonzero(real))
        self._found += int(np.count_nonzero(real & self._near(claimed)))

    def _near(self, voxels: Voxels) -> Voxels:
        if not voxels.any():
            return np.zeros(voxels.shape, bool)
        distance_m = ndimage.distance_transform_edt(~voxels, sampling=self._grid.voxel_size_m)
        return np.asarray(distance_m <= self._tolerance_m + _ROUNDING_M, bool)

    def value(self) -> float | None:
        """Return the harmonic mean of precision and recall; ``None`` without true obstacles."""
        if not self._real:
            return None
        if not self._confirmed or not self._found:
            return 0.0
        precision, recall = self._confirmed / self._claimed, self._found / self._real
        return 2 * precision * recall / (precision + recall)
