"""Surround frame sets from cameras that fire when they like.

The anchor camera opens a frame set with its shutter time; each other camera contributes its frame
nearest to that stamp within the tolerance. A set leaves as soon as it is complete, or when the
timeout has passed, with whatever cameras there are.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Payload = TypeVar('Payload')

# Sets that may wait at a time; a camera that died must not hold more of the others' frames.
_HISTORY = 4
# A stamp that far behind its camera's newest: the clock was set back, or a bag began again.
_CLOCK_JUMP_NS = 1_000_000_000


@dataclass(frozen=True)
class SynchronizerConfig:
    """When frames belong together.

    Attributes:
        tolerance_ns: How far a camera's stamp may be from the anchor's.
        timeout_ns: How long after the anchor's arrival a set may wait for the others.
        minimum_cameras: Sets with fewer cameras are dropped.
    """

    tolerance_ns: int = 60_000_000
    timeout_ns: int = 100_000_000
    minimum_cameras: int = 1


@dataclass(frozen=True)
class SynchronizedSet(Generic[Payload]):
    """Frames that belong together.

    Attributes:
        stamp_ns: Shutter time of the anchor's frame.
        stamps_ns: Shutter time of each camera in the set.
        payloads: What each camera delivered.
    """

    stamp_ns: int
    stamps_ns: Mapping[str, int]
    payloads: Mapping[str, Payload]


@dataclass
class Synchronizer(Generic[Payload]):
    """Forms frame sets; knows nothing of ROS, threads or clocks.

    Time of arrival is an argument, so that tests and replay decide what time it is.

    Attributes:
        cameras: Names of all cameras; the first is the anchor.
        config: When frames belong together.
        dropped: How many frames did not get into a set, by reason.
    """

    cameras: Sequence[str]
    config: SynchronizerConfig = field(default_factory=SynchronizerConfig)
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._frames: dict[str, deque[tuple[int, Payload]]] = {c: deque() for c in self.cameras}
        self._opened: deque[tuple[int, int]] = deque()  # (anchor stamp, arrival) of waiting sets
        self._newest_ns: dict[str, int] = {}  # of each camera, whatever became of the frame

    @property
    def anchor(self) -> str:
        """The camera whose shutter time is the reference stamp."""
        return self.cameras[0]

    def push(
        self, camera: str, stamp_ns: int, payload: Payload, now_ns: int
    ) -> list[SynchronizedSet[Payload]]:
        """Take a frame; return the sets that are ready now, oldest first."""
        if stamp_ns < self._newest_ns.get(camera, stamp_ns) - _CLOCK_JUMP_NS:
            self.reset()
        if self._is_stale(camera, stamp_ns):
            self.dropped['out of order'] += 1
            return self.poll(now_ns)
        self._newest_ns[camera] = stamp_ns
        self._frames[camera].append((stamp_ns, payload))
        if camera == self.anchor:
            self._opened.append((stamp_ns, now_ns))
        ready = self.poll(now_ns)
        self._bound(camera)
        return ready

    def poll(self, now_ns: int) -> list[SynchronizedSet[Payload]]:
        """Return the sets that are complete or have waited long enough, oldest first."""
        ready: list[SynchronizedSet[Payload]] = []
        while self._opened and self._is_due(*self._opened[0], now_ns):
            stamp_ns, _ = self._opened.popleft()
            ready.extend(self._emit(stamp_ns))
        return ready

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock; waiting frames count as dropped."""
        self.dropped['reset'] += sum(len(frames) for frames in self._frames.values())
        for frames in self._frames.values():
            frames.clear()
        self._opened.clear()
        self._newest_ns.clear()

    def _is_stale(self, camera: str, stamp_ns: int) -> bool:
        return camera in self._newest_ns and stamp_ns <= self._newest_ns[camera]

    def _is_due(self, anchor_ns: int, arrived_ns: int, now_ns: int) -> bool:
        if now_ns - arrived_ns >= self.config.timeout_ns or len(self._opened) > _HISTORY:
            return True
        return all(self._is_settled(camera, anchor_ns) for camera in self.cameras)

    def _is_settled(self, camera: str, anchor_ns: int) -> bool:
        """Whether no later frame of the camera can be nearer to the anchor's stamp."""
        frames = self._frames[camera]
        if not frames:
            return False
        newest_ns = frames[-1][0]
        if newest_ns >= anchor_ns:
            return True
        # Slightly before the anchor: the camera's next frame would be a period later, not nearer.
        period_ns = newest_ns - frames[-2][0] if len(frames) > 1 else 2 * self.config.tolerance_ns
        return 2 * (anchor_ns - newest_ns) <= min(period_ns, 2 * self.config.tolerance_ns)

    def _emit(self, anchor_ns: int) -> list[SynchronizedSet[Payload]]:
        chosen = {
            camera: frame
            for camera in self.cameras
            if (frame := self._nearest(camera, anchor_ns)) is not None
        }
        for camera, (stamp_ns, _) in chosen.items():
            self._consume(camera, stamp_ns)
        if len(chosen) < self.config.minimum_cameras:
            self.dropped['too few cameras'] += len(chosen)
            return []
        return [
            SynchronizedSet(
                stamp_ns=anchor_ns,
                stamps_ns={camera: stamp_ns for camera, (stamp_ns, _) in chosen.items()},
                payloads={camera: payload for camera, (_, payload) in chosen.items()},
            )
        ]

    def _nearest(self, camera: str, anchor_ns: int) -> tuple[int, Payload] | None:
        frames = self._frames[camera]
        if not frames:
            return None
        frame = min(frames, key=lambda candidate: abs(candidate[0] - anchor_ns))
        return frame if abs(frame[0] - anchor_ns) <= self.config.tolerance_ns else None

    def _consume(self, camera: str, stamp_ns: int) -> None:
        """Remove a frame that got into a set, and those before it, which no later set can want."""
        frames = self._frames[camera]
        while frames and frames[0][0] <= stamp_ns:
            if frames.popleft()[0] < stamp_ns:
                self.dropped['superseded'] += 1

    def _bound(self, camera: str) -> None:
        frames = self._frames[camera]
        while len(frames) > _HISTORY + 2:
            frames.popleft()
            self.dropped['no anchor frame near it'] += 1
