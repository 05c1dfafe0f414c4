"""What the node counts: every frame and every frame set ends in exactly one place."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

_RECENT = 256


@dataclass
class CameraCounters:
    """What became of one camera's images.

    Attributes:
        received: Images that arrived.
        dropped: Images that the node refused, by reason.
        arrivals_s: When the recent ones arrived.
    """

    received: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    arrivals_s: deque[float] = field(default_factory=lambda: deque(maxlen=32))

    def rate_hz(self) -> float:
        """Return the recent rate of arrival; 0 before the second image."""
        if len(self.arrivals_s) < 2:
            return 0.0
        span_s = self.arrivals_s[-1] - self.arrivals_s[0]
        return (len(self.arrivals_s) - 1) / span_s if span_s > 0 else 0.0

    def age_s(self, now_s: float) -> float | None:
        """Return how long ago the last image arrived; None before the first."""
        return now_s - self.arrivals_s[-1] if self.arrivals_s else None


class NodeStatistics:
    """Counts from the executor's thread and from the inference thread.

    Every frame set that was formed is published, lost with a reason, or still in progress.

    Args:
        cameras: Names of the cameras.
        clock_s: Monotonic clock in seconds.
    """

    def __init__(
        self, cameras: Sequence[str], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock_s = clock_s
        self.cameras = {name: CameraCounters() for name in cameras}
        self.formed = 0
        self.published = 0
        self.incomplete = 0
        self.without_odometry = 0
        self.lost: Counter[str] = Counter()
        self._stages_s: dict[str, deque[float]] = {}
        self._lock = Lock()

    @property
    def in_progress(self) -> int:
        """Frame sets that wait for inference or are in it."""
        return self.formed - self.published - sum(self.lost.values())

    def snapshot(self) -> NodeStatistics:
        """Return a copy of this moment, to read without the lock."""
        copy = NodeStatistics((), self.clock_s)
        with self._lock:
            copy.cameras = deepcopy(self.cameras)
            copy.formed, copy.published = self.formed, self.published
            copy.incomplete, copy.without_odometry = self.incomplete, self.without_odometry
            copy.lost = self.lost.copy()
            copy._stages_s = deepcopy(self._stages_s)
        return copy

    def image_arrived(self, camera: str) -> None:
        """Count an image."""
        with self._lock:
            counters = self.cameras[camera]
            counters.received += 1
            counters.arrivals_s.append(self.clock_s())

    def image_dropped(self, camera: str, reason: str) -> None:
        """Count an image that cannot be used."""
        with self._lock:
            self.cameras[camera].dropped[reason] += 1

    def set_formed(self, present: int) -> None:
        """Count a frame set that the synchroniser formed."""
        with self._lock:
            self.formed += 1
            self.incomplete += present < len(self.cameras)

    def set_published(self, *, with_odometry: bool) -> None:
        """Count a frame set whose occupancy went out."""
        with self._lock:
            self.published += 1
            self.without_odometry += not with_odometry

    def set_lost(self, reason: str) -> None:
        """Count a frame set that ended without occupancy."""
        with self._lock:
            self.lost[reason] += 1

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure how long the block takes."""
        started_s = self.clock_s()
        try:
            yield
        finally:
            with self._lock:
                recent = self._stages_s.setdefault(name, deque(maxlen=_RECENT))
                recent.append(self.clock_s() - started_s)

    def stages_ms(self) -> Mapping[str, tuple[float, float]]:
        """Return median and 95th percentile of each stage in milliseconds."""
        with self._lock:
            recent = {name: np.array(values) for name, values in self._stages_s.items()}
        return {
            name: (float(np.percentile(s, 50) * 1e3), float(np.percentile(s, 95) * 1e3))
            for name, s in recent.items()
        }
