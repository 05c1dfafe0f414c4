"""F-score of obstacles at a tolerance: near misses of thin surfaces are not misses.

An IoU of thin things falls to nothing when a wall is one voxel off. The F-score asks instead how
many claimed voxels have a true one near (precision) and how many true ones a claimed one (recall),
as Knapitsch et al. 2017 (Tanks and Temples) do for points.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from selfocc_core.evaluation.accumulation import Accumulator, Frame, Numbers, Summary, ratio
from selfocc_core.evaluation.occupancy import OccupancyTruth, Voxels
from selfocc_core.voxels import VoxelGrid

TOLERANCE_M = 0.8

_ROUNDING_M = 1e-6


class FScore(Accumulator):
    """Accumulates how near the claimed and the true obstacle voxels of many moments are.

    Both are taken within the obstacle domain of the truth: what a camera sees, without the ground.

    Args:
        grid: Grid of the predictions.
        tolerance_m: Largest distance of two voxel centres that are near each other.
    """

    def __init__(self, grid: VoxelGrid, tolerance_m: float = TOLERANCE_M) -> None:
        super().__init__()
        self._grid, self._tolerance_m = grid, tolerance_m

    @property
    def settings(self) -> object:
        """Grid and tolerance."""
        return self._grid, self._tolerance_m

    def add(self, predicted: Voxels, truth: OccupancyTruth, frame: Frame | None = None) -> None:
        """Take the predicted occupied voxels ``[X, Y, Z]`` of a moment and the truth."""
        claimed = predicted & truth.obstacle_domain
        real = truth.obstacles & truth.visible
        confirmed, found = claimed & self._near(real), real & self._near(claimed)
        counts = [np.count_nonzero(voxels) for voxels in (claimed, confirmed, real, found)]
        self.statistics.add(self._frame(frame), 'counts', counts)

    def _near(self, voxels: Voxels) -> Voxels:
        if not voxels.any():
            return np.zeros(voxels.shape, bool)
        distance_m = ndimage.distance_transform_edt(~voxels, sampling=self._grid.voxel_size_m)
        return np.asarray(distance_m <= self._tolerance_m + _ROUNDING_M, bool)

    def summary_of(self, totals: Mapping[str, Numbers]) -> Summary:
        """Return ``f_score``, the harmonic mean of ``precision`` and ``recall``, and these.

        The F-score is ``None`` without true obstacles.
        """
        claimed, confirmed, real, found = totals.get('counts', np.zeros(4))
        precision, recall = ratio(confirmed, claimed), ratio(found, real)
        f_score = None if recall is None else 0.0
        if precision and recall:
            f_score = 2 * precision * recall / (precision + recall)
        return {'f_score': f_score, 'precision': precision, 'recall': recall}
