"""What happened while a drive was replayed into the node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ReplayStatistics:
    """Counts and times of a replay.

    Attributes:
        images_published: Camera images that were sent to the node.
        frame_sets: Frame sets that the node's synchroniser formed.
        frames_published: Occupancy clouds that the node published.
        dropped: Frames that did not get into a published result, by reason.
        latency_ms: For each result, the time from its frame set being complete to publication.
        realtime_factor: Seconds of drive played per second of wall time.
        backend: Name of the runtime, for example ``onnxruntime-cpu``.
        model: Path of the model file, or the name of a shipped model.
        inference_share: Share of the time that the network took; ``None`` where it ran in a node.
    """

    images_published: int
    frame_sets: int
    frames_published: int
    dropped: Mapping[str, int]
    latency_ms: tuple[float, ...]
    realtime_factor: float
    backend: str
    model: str
    inference_share: float | None = None
