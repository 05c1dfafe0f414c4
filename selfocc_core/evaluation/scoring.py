"""All scores of a recording against whatever its drive knows of the truth, in one pass each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from selfocc_core.cameras import Camera
from selfocc_core.depth import DepthImage
from selfocc_core.evaluation.bootstrap import confidence_intervals
from selfocc_core.evaluation.consistency import moments_apart, score_consistency
from selfocc_core.evaluation.depth import DepthScores
from selfocc_core.evaluation.depth_protocol import DEPTH_PROTOCOLS, METRIC, DepthProtocol
from selfocc_core.evaluation.drive import Drive
from selfocc_core.evaluation.lidar_truth import lidar_occupancy_truths
from selfocc_core.evaluation.occupancy import (
    OccupancyScores,
    OccupancyTruth,
    camera_views,
    flat_ground_occupancy,
    occupied_voxels,
)
from selfocc_core.evaluation.ray_iou import RayIou, TrueHits
from selfocc_core.evaluation.recorded_results import (
    Key,
    RecordingIndex,
    index_of,
    matched,
    recorded_depths,
    recorded_occupancy,
)
from selfocc_core.evaluation.truth import (
    LIDAR_TOPIC,
    VOXELS_TOPIC,
    DepthTruth,
    depth_source,
    depth_truths,
    occupancy_truths,
)
from selfocc_core.model_card import ModelCard
from selfocc_core.voxels import VoxelGrid

Scores = dict[str, Any]

_RAY_ORIGIN_M = (0.0, 0.0, 1.8)


@dataclass(frozen=True)
class ScoringOptions:
    """What takes long and may be done less often.

    Attributes:
        lidar_period_s: Seconds of drive between moments whose true occupancy is made of LiDAR
            sweeps, where the drive has no voxels; 0: none.
    """

    lidar_period_s: float = 10.0


@dataclass
class DriveScores:
    """Everything accumulated of a drive; what has no truth stays empty.

    Attributes:
        grid: Grid of the model.
        depth: Depth errors under each protocol.
        occupancy: Occupancy of the model and of flat ground.
        rays: RayIoU of both.
    """

    grid: VoxelGrid
    depth: dict[str, DepthScores] = field(default_factory=dict)
    occupancy: dict[str, OccupancyScores] = field(default_factory=dict)
    rays: dict[str, RayIou] = field(default_factory=dict)


def score_drive(
    drive: Drive, recording: Path, card: ModelCard, options: ScoringOptions = ScoringOptions()
) -> tuple[DriveScores, Scores]:
    """Score a recording.

    Returns:
        What was accumulated, and the scores: ``depth`` and ``occupancy``, each ``None`` without a
        truth, with their ``baselines``, ``protocols`` and 95 % ``intervals``; ``consistency``
        needs no truth, but odometry.

    Raises:
        SelfOccError: A bag is damaged.
    """
    grid, index = card.grid.to_grid(), index_of(recording)
    scores = DriveScores(grid)
    if depth_source(drive) is not None:
        _score_depth(drive, recording, index, scores)
    source = occupancy_source(drive, options)
    if source == 'voxels':
        _score_occupancy(drive, recording, occupancy_truths(drive, grid), scores)
    elif source == 'lidar':
        moments_ns = moments_apart(index.moments_ns, round(options.lidar_period_s * 1e9))
        truths = lidar_occupancy_truths(drive, grid, moments_ns)
        _score_occupancy(drive, recording, truths, scores)
    return scores, {
        'depth': _depth_summary(drive, scores),
        'occupancy': {'truth': source, **_occupancy_summary(scores)} if source else None,
        'consistency': score_consistency(drive, recording, index, card),
    }


def occupancy_source(drive: Drive, options: ScoringOptions) -> str | None:
    """Return where the true occupancy comes from: ``voxels``, ``lidar`` or ``None``."""
    if VOXELS_TOPIC in drive.topics:
        return 'voxels'
    has_sweeps = LIDAR_TOPIC in drive.topics and drive.trajectory is not None
    return 'lidar' if has_sweeps and options.lidar_period_s > 0 else None


# Depth


def _score_depth(
    drive: Drive, recording: Path, index: RecordingIndex, scores: DriveScores
) -> None:
    scores.depth = {name: DepthScores(scores.grid, p) for name, p in DEPTH_PROTOCOLS.items()}
    truths = (((t.camera, t.stamp_ns), t) for t in depth_truths(drive, index.images))
    for key, depth, truth in matched(recorded_depths(recording), truths):
        frame = drive.path.name, index.moment_of(key[1])
        for name, protocol in DEPTH_PROTOCOLS.items():
            camera = drive.rig[truth.camera]
            _add_depth(scores.depth[name], protocol, camera, depth, truth, frame)


def _add_depth(
    scores: DepthScores,
    protocol: DepthProtocol,
    camera: Camera,
    depth: DepthImage,
    truth: DepthTruth,
    frame: tuple[str, int],
) -> None:
    scores.add(
        camera.name,
        depth.depth_m,
        depth.image_from_camera,
        protocol.counted(truth.points, camera),
        camera.ego_from_camera,
        frame,
    )


def _depth_summary(drive: Drive, scores: DriveScores) -> Scores | None:
    if not scores.depth:
        return None
    metric = scores.depth[METRIC.name]
    return {
        'truth': depth_source(drive),
        **metric.summary(),
        'baselines': {'flat_ground': metric.summary('flat_ground')},
        'protocols': {name: _means(of.summary()) for name, of in scores.depth.items()},
        'intervals': _means(confidence_intervals(metric.errors['model'])),
    }


def _means(summary: Scores) -> Scores:
    """Return the scores over everything, without those of single places."""
    return {name: value for name, value in summary.items() if not isinstance(value, dict)}


# Occupancy


def _score_occupancy(
    drive: Drive,
    recording: Path,
    truths: Iterator[tuple[int, OccupancyTruth]],
    scores: DriveScores,
) -> None:
    grid = scores.grid
    scores.occupancy = {who: OccupancyScores(grid) for who in ('model', 'flat_ground')}
    scores.rays = {who: RayIou() for who in scores.occupancy}
    views, flat_ground = camera_views(grid, drive.rig), flat_ground_occupancy(grid)
    keyed: Iterator[tuple[Key, OccupancyTruth]] = (
        (('', stamp_ns), truth) for stamp_ns, truth in truths
    )
    for (_, stamp_ns), points, truth in matched(recorded_occupancy(recording), keyed):
        frame = drive.path.name, stamp_ns
        hits = TrueHits.of(truth, grid, np.array(_RAY_ORIGIN_M))
        predictions = {'model': occupied_voxels(points, grid), 'flat_ground': flat_ground}
        for who, predicted in predictions.items():
            scores.occupancy[who].add(predicted, truth, views, frame)
            scores.rays[who].add(predicted, hits, frame=frame)


def _occupancy_summary(scores: DriveScores) -> Scores:
    def of(who: str) -> Scores:
        summary = scores.occupancy[who].summary()
        summary['by_camera'] = summary.pop('by_region')
        return {**summary, **scores.rays[who].summary()}

    intervals = confidence_intervals(scores.occupancy['model'])
    return {
        **of('model'),
        'baselines': {'flat_ground': of('flat_ground')},
        'intervals': {**_means(intervals), 'obstacles': intervals['obstacles']},
    }
