"""A few moments of a replay, with everything that is needed to draw them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from selfocc_core.bag_messages import decode_image, stamp_ns_of
from selfocc_core.bags import BagReader
from selfocc_core.cameras import Rig
from selfocc_core.depth import DepthImage
from selfocc_core.drive_topics import find_image_topic
from selfocc_core.evaluation.drive import Drive
from selfocc_core.evaluation.occupancy import OccupancyTruth, occupied_voxels
from selfocc_core.evaluation.recorded_results import (
    RecordingIndex,
    recorded_depths,
    recorded_occupancy,
)
from selfocc_core.evaluation.truth import (
    VOXELS_TOPIC,
    DepthTruth,
    depth_truths,
    occupancy_truths,
)
from selfocc_core.frames import CameraFrame
from selfocc_core.model_card import ModelCard
from selfocc_core.preprocess import Preprocessor
from selfocc_core.voxels import VoxelState

_TOLERANCE_NS = 100_000_000

_Item = TypeVar('_Item')


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame set, what the node made of it, and the truth.

    Attributes:
        stamp_ns: Reference stamp.
        frames: Images of the cameras.
        depths: Depth images by camera.
        depth_truths: True points by camera, where there are any.
        states: Published state of each voxel ``[X, Y, Z]``.
        truth: True occupancy, where the drive knows it.
    """

    stamp_ns: int
    frames: Mapping[str, CameraFrame]
    depths: Mapping[str, DepthImage]
    depth_truths: Mapping[str, DepthTruth]
    states: NDArray[np.uint8]
    truth: OccupancyTruth | None


def select_moments(
    drive: Drive, recording: Path, index: RecordingIndex, card: ModelCard, count: int = 3
) -> list[Moment]:
    """Return moments spread evenly over a recording, those with a truth first.

    Raises:
        SelfOccError: Drive or recording turn out to be damaged.
    """
    grid = card.grid.to_grid()
    truths: dict[int, OccupancyTruth] = {}
    candidates = index.moments_ns.tolist()
    if VOXELS_TOPIC in drive.topics:
        known = _voxel_stamps(drive) & set(candidates)
        candidates = sorted(known) or candidates
    chosen = _spread(candidates, count)
    if VOXELS_TOPIC in drive.topics:
        truths = {ns: truth for ns, truth in occupancy_truths(drive, grid) if ns in chosen}
    frames = frames_near(drive, chosen)
    keys = {(f.camera, f.stamp_ns) for frame_set in frames.values() for f in frame_set.values()}
    points = {(t.camera, t.stamp_ns): t for t in depth_truths(drive, keys)}
    occupancy = {ns: xyz for (_, ns), xyz in recorded_occupancy(recording) if ns in chosen}
    depths = {key: depth for key, depth in recorded_depths(recording) if key in keys}
    return [
        Moment(
            stamp_ns,
            frames[stamp_ns],
            of_frames(frames[stamp_ns], depths),
            of_frames(frames[stamp_ns], points),
            states_of(occupancy[stamp_ns], drive.rig, card, frames[stamp_ns]),
            truths.get(stamp_ns),
        )
        for stamp_ns in chosen
    ]


def _voxel_stamps(drive: Drive) -> set[int]:
    with BagReader(drive.path) as bag:
        return {stamp_ns_of(message.decode()) for message in bag.messages([VOXELS_TOPIC])}


def _spread(candidates: Sequence[int], count: int) -> list[int]:
    count = min(count, len(candidates))
    return [candidates[int((k + 0.5) * len(candidates) / count)] for k in range(count)]


def frames_near(drive: Drive, stamps_ns: Sequence[int]) -> dict[int, dict[str, CameraFrame]]:
    """Return for each stamp the image of each camera that is nearest to it.

    Images more than 0.1 s away do not count.

    Raises:
        SelfOccError: The drive turns out to be damaged.
    """
    frames: dict[int, dict[str, CameraFrame]] = {stamp_ns: {} for stamp_ns in stamps_ns}
    for camera, message in image_messages(drive):
        shutter_ns = stamp_ns_of(message)
        for stamp_ns in stamps_ns:
            if _is_nearer(frames[stamp_ns], camera, shutter_ns, stamp_ns):
                frames[stamp_ns][camera] = CameraFrame(camera, shutter_ns, decode_image(message))
    return frames


def image_messages(drive: Drive) -> Iterator[tuple[str, Any]]:
    """Yield the camera and the ``Image`` or ``CompressedImage`` of every image of the drive.

    Raises:
        SelfOccError: The drive turns out to be damaged.
    """
    with BagReader(drive.path) as bag:
        found = {name: find_image_topic(bag, name) for name in drive.rig.names}
        topics = {topic: name for name, topic in found.items() if topic is not None}
        for bag_message in bag.messages(list(topics)):
            yield topics[bag_message.topic], bag_message.decode()


def _is_nearer(
    frames: Mapping[str, CameraFrame], camera: str, shutter_ns: int, stamp_ns: int
) -> bool:
    best_ns = abs(frames[camera].stamp_ns - stamp_ns) if camera in frames else _TOLERANCE_NS
    return abs(shutter_ns - stamp_ns) < best_ns


def of_frames(
    frames: Mapping[str, CameraFrame], items: Mapping[tuple[str, int], _Item]
) -> dict[str, _Item]:
    """Return by camera the items that carry the shutter times of the frames."""
    return {
        name: items[name, frame.stamp_ns]
        for name, frame in frames.items()
        if (name, frame.stamp_ns) in items
    }


def states_of(
    points: NDArray[np.float64], rig: Rig, card: ModelCard, cameras: Iterable[str]
) -> NDArray[np.uint8]:
    """Return the voxel states ``[X, Y, Z]``: points tell the occupied, cameras the unknown.

    Args:
        points: Centres of the occupied voxels ``[P, 3]``.
        rig: The vehicle's cameras.
        card: Card of the model.
        cameras: Those whose images were used.
    """
    grid, spec = card.grid.to_grid(), card.input
    projections = [
        Preprocessor(rig[name], spec.height, spec.width).input_from_ego for name in cameras
    ]
    states = np.full(grid.shape, VoxelState.UNKNOWN, np.uint8)
    visible = grid.visible_from(np.array(projections).reshape(-1, 3, 4), (spec.height, spec.width))
    states[visible] = VoxelState.FREE
    states[occupied_voxels(points, grid)] = VoxelState.OCCUPIED
    return states
