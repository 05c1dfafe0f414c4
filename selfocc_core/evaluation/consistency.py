"""What a drive without truth says of a model: does depth explain the video, do moments agree?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.bag_messages import decode_image, stamp_ns_of
from selfocc_core.evaluation.accumulation import Summary
from selfocc_core.evaluation.drive import Drive
from selfocc_core.evaluation.moments import image_messages, states_of
from selfocc_core.evaluation.recorded_results import (
    Key,
    RecordingIndex,
    matched,
    recorded_depths,
    recorded_occupancy,
)
from selfocc_core.evaluation.self_consistency import PhotometricError, TemporalAgreement, View
from selfocc_core.model_card import ModelCard
from selfocc_core.preprocess import Preprocessor

_PERIOD_NS = 1_000_000_000
_GAP_NS = 300_000_000  # long enough for the vehicle to have moved


def score_consistency(
    drive: Drive, recording: Path, index: RecordingIndex, card: ModelCard
) -> Summary | None:
    """Return ``photometric`` and ``temporal`` scores of a moment in each second.

    Returns:
        ``None`` for a drive without odometry.

    Raises:
        SelfOccError: A bag is damaged.
    """
    if drive.trajectory is None:
        return None
    chosen_ns = moments_apart(index.moments_ns, _PERIOD_NS)
    return {
        'photometric': _photometric(drive, recording, index, card, chosen_ns).summary(),
        'temporal': _temporal(drive, recording, index, card, chosen_ns).summary(),
    }


def moments_apart(moments_ns: NDArray[np.int64], period_ns: int) -> list[int]:
    """Return the first moment of each period of the drive."""
    if len(moments_ns) == 0:
        return []
    periods = (moments_ns - moments_ns[0]) // period_ns
    _, first = np.unique(periods, return_index=True)
    return [int(moments_ns[place]) for place in first]


def _photometric(
    drive: Drive, recording: Path, index: RecordingIndex, card: ModelCard, chosen_ns: Sequence[int]
) -> PhotometricError:
    scores = PhotometricError(card.grid.to_grid())
    wanted = set(chosen_ns)
    targets = {key for key in index.images if index.moment_of(key[1]) in wanted}
    depths = ((key, depth) for key, depth in recorded_depths(recording) if key in targets)
    for key, (target, source, source_ns), depth in matched(_pairs(drive, targets, card), depths):
        motion = drive.motion(source_ns, key[1])
        frame = drive.path.name, index.moment_of(key[1])
        scores.add(key[0], target, source, motion, depth, frame)
    return scores


def _pairs(
    drive: Drive, targets: set[Key], card: ModelCard
) -> Iterator[tuple[Key, tuple[View, View, int]]]:
    """Yield each target image with a later one of its camera and that one's shutter time."""
    preprocessors = {
        camera.name: Preprocessor(camera, card.input.height, card.input.width)
        for camera in drive.rig
    }
    held: dict[str, tuple[Key, View]] = {}
    for camera, message in image_messages(drive):
        stamp_ns = stamp_ns_of(message)
        if camera in held and stamp_ns >= held[camera][0][1] + _GAP_NS:
            key, target = held.pop(camera)
            yield key, (target, _view(preprocessors[camera], message), stamp_ns)
        if (camera, stamp_ns) in targets:
            held[camera] = (camera, stamp_ns), _view(preprocessors[camera], message)


def _view(preprocessor: Preprocessor, message: Any) -> View:
    camera = preprocessor.camera
    return View(
        preprocessor(decode_image(message)),
        preprocessor.input_from_image @ camera.image_from_camera,
        camera.ego_from_camera,
    )


def _temporal(
    drive: Drive, recording: Path, index: RecordingIndex, card: ModelCard, chosen_ns: Sequence[int]
) -> TemporalAgreement:
    scores, chosen = TemporalAgreement(card.grid.to_grid()), set(chosen_ns)
    held: tuple[int, NDArray[np.uint8]] | None = None
    for (_, stamp_ns), points in recorded_occupancy(recording):
        if held is not None and stamp_ns >= held[0] + _GAP_NS:
            states = states_of(points, drive.rig, card, index.cameras_at(stamp_ns))
            motion = drive.motion(stamp_ns, held[0])
            scores.add(held[1], states, motion, (drive.path.name, held[0]))
            held = None
        if stamp_ns in chosen:
            held = stamp_ns, states_of(points, drive.rig, card, index.cameras_at(stamp_ns))
    return scores
