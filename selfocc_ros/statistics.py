"""What the node counts: every frame and every frame set ends in exactly one place."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

_RECENT = 256
NOBODY_LISTENS = 'nobody listens'


@dataclass
class CameraCounters:
    """What became of one camera's images.

    Every image received is used, dropped with a reason, or waiting: in the intake, in the
    synchroniser, or in a frame set.

    Attributes:
        received: Images that arrived.
        used: Images from which occupancy was made and published.
        in_intake: Images that wait to be prepared.
        in_sets: Images in frame sets that wait for inference or are in it.
        dropped: Images from which none was made, by reason.
        arrivals_s: When the recent ones arrived.
        lost: Images that the middleware lost before they arrived, as far as it knows.
        clock_offset_s: How far this computer's clock was ahead of the last image's stamp.
    """

    received: int = 0
    used: int = 0
    in_intake: int = 0
    in_sets: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    arrivals_s: deque[float] = field(default_factory=lambda: deque(maxlen=32))
    lost: int = 0
    clock_offset_s: float | None = None

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
    """Counts from the threads of the executor, the intake and the inference.

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
        self.published_at_s: float | None = None
        self.mask = ''
        self.latency_s: float | None = None
        self.lost_at_s: float | None = None  # last, and not for want of a listener
        self.unmoved_at_s: float | None = None  # last published without the vehicle's motion
        self.working_since_s: float | None = None
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
            copy.published_at_s, copy.mask = self.published_at_s, self.mask
            copy.latency_s, copy.lost_at_s = self.latency_s, self.lost_at_s
            copy.unmoved_at_s, copy.working_since_s = self.unmoved_at_s, self.working_since_s
            copy.lost = self.lost.copy()
            copy._stages_s = deepcopy(self._stages_s)
        return copy

    def image_arrived(self, camera: str) -> None:
        """Count an image."""
        with self._lock:
            counters = self.cameras[camera]
            counters.received += 1
            counters.in_intake += 1
            counters.arrivals_s.append(self.clock_s())

    def image_lost(self, camera: str, count: int) -> None:
        """Count images that the middleware says it lost on the way."""
        with self._lock:
            self.cameras[camera].lost += count

    def clock_compared(self, camera: str, offset_s: float) -> None:
        """Take note of how far this computer's clock is ahead of an image's stamp."""
        with self._lock:
            self.cameras[camera].clock_offset_s = offset_s

    def image_dropped(self, camera: str, reason: str, count: int = 1) -> None:
        """Count images that the intake did not hand on to the synchroniser."""
        with self._lock:
            self.cameras[camera].in_intake -= count
            self.cameras[camera].dropped[reason] += count

    def image_handed_on(self, camera: str) -> None:
        """Count an image that went to the synchroniser."""
        with self._lock:
            self.cameras[camera].in_intake -= 1

    def absorb(self, dropped: Mapping[str, Mapping[str, int]]) -> None:
        """Take over the counts of a synchroniser that has come to its end."""
        with self._lock:
            for camera, reasons in dropped.items():
                self.cameras[camera].dropped.update(reasons)

    def set_formed(self, cameras: Iterable[str]) -> None:
        """Count a frame set that the synchroniser formed of these cameras' images."""
        with self._lock:
            present = list(cameras)
            self.formed += 1
            self.incomplete += len(present) < len(self.cameras)
            for camera in present:
                self.cameras[camera].in_sets += 1

    def set_published(
        self,
        cameras: Iterable[str],
        unused: Mapping[str, str],
        *,
        latency_s: float,
        with_odometry: bool,
    ) -> None:
        """Count a frame set whose occupancy went out.

        Args:
            cameras: The cameras in the set.
            unused: Those whose image was not used, with the reason.
            latency_s: Age of the set's stamp.
            with_odometry: Whether the vehicle's motion was compensated.
        """
        with self._lock:
            self.published += 1
            self.published_at_s = self.clock_s()
            self.latency_s = latency_s
            if not with_odometry:
                self.without_odometry += 1
                self.unmoved_at_s = self.published_at_s
            used = [camera for camera in cameras if camera not in unused]
            for camera in used:
                self.cameras[camera].in_sets -= 1
                self.cameras[camera].used += 1
            self._drop_from_set(unused)
            self.mask = ''.join(str(int(camera in used)) for camera in self.cameras)

    def set_lost(self, reason: str, unused: Mapping[str, str]) -> None:
        """Count a frame set that ended without occupancy, and its images by their reasons."""
        with self._lock:
            self.lost[reason] += 1
            if reason != NOBODY_LISTENS:
                self.lost_at_s = self.clock_s()
            self._drop_from_set(unused)

    def _drop_from_set(self, unused: Mapping[str, str]) -> None:
        for camera, reason in unused.items():
            self.cameras[camera].in_sets -= 1
            self.cameras[camera].dropped[reason] += 1

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Tell that a frame set is being worked on."""
        self.working_since_s = self.clock_s()
        try:
            yield
        finally:
            self.working_since_s = None

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
