"""What the node published, matched by stamp with what the drive knows of the truth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.bag_messages import decode_float, decode_point_cloud, stamp_ns_of, xyz
from selfocc_core.bags import BagReader
from selfocc_core.depth import DepthImage
from selfocc_core.evaluation.depth import DepthScores
from selfocc_core.evaluation.drive import Drive
from selfocc_core.evaluation.occupancy import (
    OccupancyScores,
    flat_ground_occupancy,
    occupied_voxels,
)
from selfocc_core.evaluation.truth import (
    VOXELS_TOPIC,
    depth_source,
    depth_truths,
    occupancy_truths,
)
from selfocc_core.voxels import VoxelGrid

POINTS_TOPIC = '/surround/occupancy/points'

_DEPTH_TOPIC = re.compile(r'/surround/([a-z][a-z0-9_]*)/depth/(image|camera_info)')


@dataclass(frozen=True, eq=False)
class Recording:
    """Everything a node published during a replay.

    Attributes:
        occupancy: Centres of the occupied voxels ``[P, 3]`` in the ego frame, by stamp.
        depths: Depth images by camera and shutter time.
    """

    occupancy: Mapping[int, NDArray[np.float64]]
    depths: Mapping[tuple[str, int], DepthImage]


def read_recording(path: Path) -> Recording:
    """Read the published topics.

    Raises:
        SelfOccError: The bag is missing or damaged.
    """
    occupancy: dict[int, NDArray[np.float64]] = {}
    images: dict[tuple[str, int], NDArray[np.float32]] = {}
    intrinsics: dict[tuple[str, int], NDArray[np.float64]] = {}
    with BagReader(path) as bag:
        matches = {topic: _DEPTH_TOPIC.fullmatch(topic) for topic in bag.topics}
        topics = [t for t in bag.topics if t == POINTS_TOPIC or matches[t]]
        for bag_message in bag.messages(topics):
            message, match = bag_message.decode(), matches[bag_message.topic]
            stamp_ns = stamp_ns_of(message)
            if match is None:
                occupancy[stamp_ns] = xyz(decode_point_cloud(message))
            elif match[2] == 'image':
                images[match[1], stamp_ns] = decode_float(message)
            else:
                intrinsics[match[1], stamp_ns] = np.asarray(message.k).reshape(3, 3)
    complete = images.keys() & intrinsics.keys()
    depths = {key: DepthImage(images[key], intrinsics[key]) for key in sorted(complete)}
    return Recording(occupancy, depths)


def score_occupancy(drive: Drive, recording: Recording, grid: VoxelGrid) -> dict[str, Any] | None:
    """Return the scores of the occupancy and of its baseline; ``None`` without a truth."""
    if VOXELS_TOPIC not in drive.topics:
        return None
    model, baseline = OccupancyScores(grid), OccupancyScores(grid)
    flat_ground = flat_ground_occupancy(grid)
    for stamp_ns, truth in occupancy_truths(drive, grid):
        if stamp_ns in recording.occupancy:
            model.add(occupied_voxels(recording.occupancy[stamp_ns], grid), truth)
            baseline.add(flat_ground, truth)
    return {**model.summary(), 'baselines': {'flat_ground': baseline.summary()}}


def score_depth(drive: Drive, recording: Recording, grid: VoxelGrid) -> dict[str, Any] | None:
    """Return the errors of the depth images and of the baseline; ``None`` without a truth."""
    if depth_source(drive) is None:
        return None
    scores = DepthScores(grid)
    for truth in depth_truths(drive, recording.depths):
        image = recording.depths[truth.camera, truth.stamp_ns]
        scores.add(
            truth.camera,
            image.depth_m,
            image.image_from_camera,
            truth.points,
            drive.rig[truth.camera].ego_from_camera,
        )
    return {
        'truth': depth_source(drive),
        **scores.summary(),
        'baselines': {'flat_ground': scores.summary('flat_ground')},
    }
