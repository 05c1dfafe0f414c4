"""Runs a model over a recorded drive, without ROS and as fast as the machine can."""

from __future__ import annotations

import time
from pathlib import Path

from selfocc_core.backends import Backend
from selfocc_core.bags import BagReader, BagWriter
from selfocc_core.cameras import Rig
from selfocc_core.evaluation.recording_writer import RecordingWriter
from selfocc_core.evaluation.replay import ReplayStatistics
from selfocc_core.playback import Playback, PlaybackAccount
from selfocc_core.progress import track


def process_drive(
    drive: Path, rig: Rig, backend: Backend, model: Path, recording: Path
) -> ReplayStatistics:
    """Process every frame set of a drive and record the results.

    Args:
        drive: The recorded drive.
        rig: Its cameras, the anchor first.
        backend: The runtime with the model.
        model: The model's file, for the report.
        recording: The bag to write, with the topics that the node publishes.

    Raises:
        SelfOccError: The drive lacks the images of a camera or is damaged, or the rig does not fit
            the model.
    """
    latencies_ms: list[float] = []
    started_s = time.perf_counter()
    with BagReader(drive) as bag, BagWriter(recording) as writer:
        playback = Playback(bag, rig, backend)
        recorder = RecordingWriter(writer, backend.card.threshold)
        asked_s = time.perf_counter()
        for processed in track(playback.results(), 'Evaluating', total=playback.expected_sets):
            latencies_ms.append(1e3 * (time.perf_counter() - asked_s))
            recorder.add(processed)
            asked_s = time.perf_counter()
        drive_s = (bag.end_ns - bag.start_ns) * 1e-9
    wall_s = time.perf_counter() - started_s
    return _statistics(playback.account, latencies_ms, drive_s / wall_s, wall_s, backend, model)


def _statistics(
    account: PlaybackAccount,
    latencies_ms: list[float],
    realtime_factor: float,
    wall_s: float,
    backend: Backend,
    model: Path,
) -> ReplayStatistics:
    sets = {f'frame sets: {reason}': count for reason, count in account.lost.items()}
    images = {f'images: {reason}': count for reason, count in account.dropped.items()}
    return ReplayStatistics(
        images_published=account.images,
        frame_sets=account.frame_sets,
        frames_published=len(latencies_ms),
        dropped=sets | images,
        latency_ms=tuple(latencies_ms),
        realtime_factor=realtime_factor,
        backend=backend.name,
        model=str(model),
        inference_share=account.inference_s / wall_s,
    )
