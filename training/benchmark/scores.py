"""The scores of one prediction in one world, and their mean and spread over worlds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Rig
from selfocc_core.evaluation.depth import FARTHEST_M, NEAREST_M, depth_errors
from selfocc_core.evaluation.f_score import FScore
from selfocc_core.evaluation.occupancy import (
    GROUND_CLASSES,
    RINGS_M,
    OccupancyScores,
    OccupancyTruth,
)
from selfocc_core.evaluation.ray_iou import RayIou, TrueHits
from selfocc_core.evaluation.semantic_iou import SemanticClasses, SemanticIou
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.voxels import VoxelGrid
from training.benchmark.predictions import Prediction
from training.benchmark.views import TrueView, Truth, ego_points

Scores = dict[str, Any]

NEAR_M = 12.8
DEPTH_METRICS = ('abs_rel', 'delta1', 'median_rel', 'rmse')
REGIONS = ('in_volume', 'above_ground', 'everywhere')
MINIMUM_PIXELS = 10

# The generated world has a class for what is nothing else, and no flat ground without a class.
SEMANTIC_CLASSES = SemanticClasses(CLASS_NAMES[1:], others='other')

_GROUND = [CLASS_NAMES.index(name) for name in GROUND_CLASSES]


class WorldScores:
    """Accumulates the scores of one prediction over the moments of a world.

    Args:
        rig: The drive's cameras.
        grid: Grid of the benchmark.
    """

    def __init__(self, rig: Rig, grid: VoxelGrid) -> None:
        self._rig, self._grid = rig, grid
        self._occupancy = OccupancyScores(grid, (*RINGS_M, (0.0, NEAR_M)))
        self._f_score, self._ray_iou = FScore(grid), RayIou()
        self._depth: dict[str, list[dict[str, float]]] = {region: [] for region in REGIONS}
        self._semantics: SemanticIou | None = None

    def add(
        self,
        prediction: Prediction,
        truth: Truth,
        hits: TrueHits,
        covered: dict[str, NDArray[np.bool_]],
    ) -> None:
        """Take the prediction of a moment.

        Args:
            prediction: What is scored.
            truth: What is true.
            hits: The true hits of the rays of RayIoU.
            covered: Pixels ``[h, w]`` of each camera at which depth is scored.
        """
        self._occupancy.add(prediction.occupied, truth.occupancy)
        self._f_score.add(prediction.occupied, truth.occupancy)
        self._ray_iou.add(prediction.occupied, hits)
        self._add_semantics(prediction, truth.occupancy)
        for name in prediction.depth_m.keys() & truth.views.keys() & covered.keys():
            view = truth.views[name]
            for region, chosen in self._regions(name, view).items():
                mask = chosen & covered[name]
                if np.count_nonzero(mask) >= MINIMUM_PIXELS:
                    true_m = view.depth_m[mask].astype(np.float64)
                    self._depth[region].append(
                        image_errors(prediction.depth_m[name][mask], true_m)
                    )

    def _add_semantics(self, prediction: Prediction, truth: OccupancyTruth) -> None:
        if prediction.labels is None or truth.labels is None:
            return
        if self._semantics is None:
            self._semantics = SemanticIou(SEMANTIC_CLASSES)
        self._semantics.add(
            prediction.labels - np.uint8(1),  # without the first, free space
            prediction.occupied,
            truth.labels - np.uint8(1),
            truth.occupied,
            truth.visible,
        )

    def _regions(self, camera: str, view: TrueView) -> dict[str, NDArray[np.bool_]]:
        everywhere = (view.depth_m >= NEAREST_M) & (view.depth_m <= FARTHEST_M)
        points = ego_points(self._rig[camera], np.where(everywhere, view.depth_m, 0))
        in_volume = everywhere & self._grid.indices(points)[1]
        above_ground = in_volume & ~np.isin(view.label, _GROUND)
        return dict(zip(REGIONS, (in_volume, above_ground, everywhere), strict=True))

    def summary(self) -> Scores:
        """Return ``depth`` and ``occupancy`` of the world; ``None`` where nothing is scored."""
        means = {region: _mean_of_images(images) for region, images in self._depth.items()}
        occupancy = self._occupancy.summary()
        return {
            'depth': {
                **means['in_volume'],
                'above_ground': means['above_ground'],
                'everywhere': means['everywhere'],
            },
            'occupancy': {
                **_ious(occupancy),
                'f_score_0_8m': self._f_score.summary()['f_score'],
                **self._ray_iou.summary(),
                'by_range': {name: _ious(ring) for name, ring in occupancy['by_range'].items()},
                'by_height': {
                    name: {f'{k}_obstacles': value for k, value in band['obstacles'].items()}
                    for name, band in occupancy['by_height'].items()
                },
                **({'semantics': self._semantics.summary()} if self._semantics else {}),
            },
        }


def image_errors(
    predicted_m: NDArray[np.float64], true_m: NDArray[np.float64]
) -> dict[str, float]:
    """Return the errors of predicted depths ``[P]`` of one image against true ones ``[P]``."""
    errors = depth_errors(predicted_m, true_m)
    values = (errors[name] for name in ('abs_rel', 'delta_1', 'median_rel', 'rmse'))
    return dict(zip(DEPTH_METRICS, values, strict=True))


def _mean_of_images(images: Sequence[dict[str, float]]) -> dict[str, float | None]:
    if not images:
        return dict.fromkeys(DEPTH_METRICS)
    return {name: float(np.mean([image[name] for image in images])) for name in DEPTH_METRICS}


def _ious(scores: Scores) -> dict[str, float | None]:
    return {'iou': scores['iou'], 'iou_obstacles': scores['obstacles']['iou']}


def mean_over(worlds: Sequence[Scores]) -> Scores:
    """Return the mean of every score over worlds; ``None`` where no world has it."""
    return _combined(worlds, lambda values: float(np.mean(values)) if values else None)


def deviation_over(worlds: Sequence[Scores]) -> Scores:
    """Return the standard deviation between worlds (n - 1); ``None`` for fewer than two."""
    return _combined(
        worlds, lambda values: float(np.std(values, ddof=1)) if len(values) > 1 else None
    )


def _combined(worlds: Sequence[Scores], combine: Callable[[list[float]], float | None]) -> Scores:
    return {
        name: _combined([world[name] for world in worlds], combine)
        if isinstance(worlds[0][name], dict)
        else combine([world[name] for world in worlds if world[name] is not None])
        for name in worlds[0]
    }
