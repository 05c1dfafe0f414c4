"""What training worlds look like on average: the strongest guess of one that does not look.

Made from truth that no model here ever learns from.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.occupancy import Voxels
from selfocc_core.files import write_atomically
from selfocc_core.progress import track
from selfocc_core.voxels import VoxelGrid
from training.benchmark.views import TrueView, Truth, ego_points
from training.benchmark.worlds import WorldSettings, truths

THRESHOLDS = np.arange(1, 41) / 50

Counts = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class TrainingMaps:
    """Maps of the training worlds.

    Attributes:
        seeds: The worlds.
        occupied_share: In which share of the moments in which a voxel is visible it is occupied
            ``[X, Y, Z]``.
        threshold: Share above which occupied is the best guess, by IoU.
        obstacle_threshold: The same by IoU of obstacles.
        median_depth_m: Median depth within the volume at the compared pixels of each camera
            ``[h, w]``, +Inf where no world has anything there.
    """

    seeds: tuple[int, ...]
    occupied_share: NDArray[np.float32]
    threshold: float
    obstacle_threshold: float
    median_depth_m: Mapping[str, NDArray[np.float32]]

    def occupied(self, threshold: float) -> Voxels:
        """Return the voxels ``[X, Y, Z]`` whose share is above a threshold."""
        return np.asarray(self.occupied_share > threshold, bool)


def training_maps(seeds: Sequence[int], settings: WorldSettings, cache: Path) -> TrainingMaps:
    """Return the maps of some worlds, from the cache if they lie there.

    Raises:
        SelfOccError: The worlds cannot be made, or the file in the cache is damaged.
    """
    path = cache / settings.folder / f'maps-{seeds[0]}-{len(seeds)}.npz'
    if path.exists():
        maps = _load(path)
        if maps.seeds == tuple(seeds):
            return maps
    maps = _make(seeds, settings)
    _save(maps, path)
    return maps


def _make(seeds: Sequence[int], settings: WorldSettings) -> TrainingMaps:
    everything, obstacles = VoxelCounts(), VoxelCounts()
    rig = settings.rig()
    depths: dict[str, list[NDArray[np.float32]]] = {name: [] for name in rig.names}
    for seed in track(seeds, 'Averaging training worlds'):
        of_world = list(truths(seed, settings))
        occupancy = [truth.occupancy for truth in of_world]
        everything.add([(t.occupied & t.visible, t.visible) for t in occupancy])
        obstacles.add([(t.obstacles & t.visible, t.obstacle_domain) for t in occupancy])
        for truth in of_world:
            for name, depth_m in _depths_in_volume(truth, rig, settings.grid).items():
                depths[name].append(depth_m)
    return TrainingMaps(
        tuple(seeds),
        _share(_total(everything.true), _total(everything.scored)),
        best_threshold(everything, everything),
        best_threshold(everything, obstacles),
        {name: _median(np.stack(images)) for name, images in depths.items()},
    )


class VoxelCounts:
    """In how many moments of each world a voxel ``[X, Y, Z]`` is true, and in how many scored."""

    def __init__(self) -> None:
        self.true: list[NDArray[np.uint8]] = []
        self.scored: list[NDArray[np.uint8]] = []

    def add(self, moments: Sequence[tuple[Voxels, Voxels]]) -> None:
        """Take the true and the scored voxels of the moments of a world."""
        self.true.append(np.sum([true for true, _ in moments], 0, np.uint8))
        self.scored.append(np.sum([scored for _, scored in moments], 0, np.uint8))


def best_threshold(of_map: VoxelCounts, of_score: VoxelCounts) -> float:
    """Return the threshold at which a map of ``of_map`` has the best IoU of ``of_score``.

    Each world is scored with the map of the *other* worlds, as an unseen world is.
    """
    true, scored = _total(of_map.true), _total(of_map.scored)
    hits, claims = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    for world, (real, domain) in enumerate(zip(of_score.true, of_score.scored, strict=True)):
        others = _share(true - of_map.true[world], scored - of_map.scored[world])
        hits += _above_thresholds(others, real)
        claims += _above_thresholds(others, domain)
    iou = hits / np.maximum(claims + _total(of_score.true).sum() - hits, 1)
    return float(THRESHOLDS[iou.argmax()])


def _total(counts: Sequence[NDArray[np.uint8]]) -> Counts:
    return np.asarray(np.sum(counts, 0, np.int32), np.int32)


def _share(true: Counts, scored: Counts) -> NDArray[np.float32]:
    return np.asarray(true / np.maximum(scored, 1), np.float32)


def _above_thresholds(
    share: NDArray[np.float32], weights: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Return for each threshold the weight of the voxels with a larger share."""
    # A share larger than k of the thresholds falls into bin k and counts for all of them.
    bins = np.searchsorted(THRESHOLDS, share.ravel(), side='left')
    counts = np.bincount(bins, weights.ravel(), len(THRESHOLDS) + 1)
    return np.asarray(counts[::-1].cumsum()[::-1][1:], np.float64)


def _depths_in_volume(truth: Truth, rig: Rig, grid: VoxelGrid) -> dict[str, NDArray[np.float32]]:
    def kept(name: str, view: TrueView) -> NDArray[np.float32]:
        finite = np.isfinite(view.depth_m)
        points = ego_points(rig[name], np.where(finite, view.depth_m, 0))
        _, inside = grid.indices(points)
        return np.where(finite & inside, view.depth_m, np.float32(np.nan))

    return {name: kept(name, view) for name, view in truth.views.items()}


def _median(depths_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median over the first axis of what is a number; +Inf where nothing is."""
    # Numbers sort before not-a-number.
    ordered, count = np.sort(depths_m, 0), np.isfinite(depths_m).sum(0)
    middle = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, 0)[0]
    return np.asarray(np.where(count > 0, middle, np.inf), np.float32)


def _save(maps: TrainingMaps, path: Path) -> None:
    arrays: dict[str, Any] = {
        'seeds': np.array(maps.seeds, np.int64),
        'occupied_share': maps.occupied_share,
        'thresholds': np.array([maps.threshold, maps.obstacle_threshold]),
        **{f'median_depth_{name}': depth_m for name, depth_m in maps.median_depth_m.items()},
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def _load(path: Path) -> TrainingMaps:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            threshold, obstacle_threshold = arrays['thresholds'].tolist()
            prefix = 'median_depth_'
            return TrainingMaps(
                tuple(arrays['seeds'].tolist()),
                arrays['occupied_share'],
                threshold,
                obstacle_threshold,
                {n.removeprefix(prefix): arrays[n] for n in arrays.files if n.startswith(prefix)},
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SelfOccError(f'{path} is damaged: remove it, so that it is made anew') from error
