"""The threshold at which a model's occupancy is best, found with the truth of training worlds.

What says occupied of a density is nobody's to know; a threshold that its own worlds choose in its
favour takes the guess out of a comparison. A signed distance has its threshold, but the same
sweep shows what another would give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.backends import Backend, ModelInputs, ModelOutputs
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.occupancy import OccupancyTruth
from selfocc_core.model_card import ModelCard
from selfocc_core.pipeline import OccupancyPipeline, OccupancyResult
from selfocc_core.progress import track
from selfocc_core.voxels import VoxelGrid, VoxelState
from training.benchmark.predictions import resampled
from training.benchmark.recorded import read_world, seen_by

Levels = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """What a sweep of the threshold found.

    Attributes:
        threshold: The best one, by IoU of obstacles pooled over all moments.
        iou_obstacles: IoU of obstacles at it.
        own_threshold: The model's own.
        own_iou_obstacles: IoU of obstacles at that.
    """

    threshold: float
    iou_obstacles: float
    own_threshold: float
    own_iou_obstacles: float


class Calibrated:
    """A runtime whose card says another threshold.

    Args:
        backend: The runtime.
        threshold: In the unit of the model's first output.
    """

    def __init__(self, backend: Backend, threshold: float) -> None:
        self._backend, self.name = backend, backend.name
        self._card = backend.card.model_copy(update={'threshold': threshold})

    @property
    def card(self) -> ModelCard:
        """Card of the model with the other threshold."""
        return self._card

    def infer(self, inputs: ModelInputs) -> ModelOutputs:
        """Run the model once."""
        return self._backend.infer(inputs)


def calibrate(
    backend: Backend, drives: Mapping[int, Path], grid: VoxelGrid, cameras: Sequence[str] = ()
) -> Calibration:
    """Sweep the threshold of a model over the moments of some drives.

    Args:
        backend: The runtime with the model.
        drives: Drives with truth, by seed.
        grid: Grid of the benchmark.
        cameras: Those that the model gets; none: all.

    Raises:
        SelfOccError: A drive is damaged, does not fit the model, or no obstacle is visible in any.
    """
    levels, true = [], []
    for path in track(list(drives.values()), f'Calibrating {backend.card.name}'):
        world = seen_by(read_world(path, grid), cameras, grid)
        pipeline = OccupancyPipeline(backend, world.rig)
        for moment in world.moments:
            result = pipeline.process(moment.frame_set, world.trajectory)
            of_moment = scored(levels_on(result, grid), moment.truth.occupancy)
            levels.append(of_moment[0])
            true.append(of_moment[1])
    return sweep(np.concatenate(levels), np.concatenate(true), backend.card.threshold)


def levels_on(result: OccupancyResult, grid: VoxelGrid) -> Levels:
    """Return a model's first output at the voxel centres of a grid, +Inf where it is unknown."""
    known = np.where(result.states == VoxelState.UNKNOWN, np.float32(np.inf), result.sdf)
    return resampled(known, result.grid, grid, outside=np.inf)


def scored(levels: Levels, truth: OccupancyTruth) -> tuple[Levels, NDArray[np.bool_]]:
    """Return the levels of the voxels in which obstacles are scored, and which are obstacles."""
    domain = truth.obstacle_domain
    return levels[domain], truth.obstacles[domain]


def sweep(levels: Levels, true: NDArray[np.bool_], own_threshold: float) -> Calibration:
    """Return the threshold of best IoU: all that differ are tried.

    Args:
        levels: Of the scored voxels ``[V]``; occupied is at most the threshold.
        true: Which of them are occupied ``[V]``.
        own_threshold: Scored for comparison.

    Raises:
        SelfOccError: No voxel is occupied, or all are unknown to the model.
    """
    order = np.argsort(levels, kind='stable')
    ordered = levels[order]
    hits = true[order].cumsum()
    iou = hits / (np.arange(1, len(hits) + 1) + true.sum() - hits)
    # Of equal levels only all together can be above or below a threshold.
    is_last = np.append(ordered[1:] != ordered[:-1], True) & np.isfinite(ordered)
    if not true.any() or not is_last.any():
        raise SelfOccError(
            'in the calibration worlds no obstacle is visible, or the model knows none of what '
            'is: give other --calibration-seeds'
        )
    best = int(np.where(is_last, iou, -1).argmax())
    claimed = int(np.searchsorted(ordered, np.float32(own_threshold), side='right'))
    own = float(iou[claimed - 1]) if claimed else 0.0
    return Calibration(float(ordered[best]), float(iou[best]), own_threshold, own)


def as_json(calibrations: Mapping[str, Calibration], seeds: Sequence[int]) -> dict[str, Any]:
    """Return what a result says of calibrations, by model."""
    models = {name: dict(vars(calibration)) for name, calibration in calibrations.items()}
    return {'seeds': list(seeds), 'models': models}
