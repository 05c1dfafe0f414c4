"""Surround frame sets from cameras that fire when they like.

A frame of the anchor camera opens a frame set; each other camera contributes its frame nearest to
that moment within the tolerance. A set leaves as soon as no camera can still contribute something
better, and at the latest after the timeout, with whatever cameras there are.

What can go wrong costs only what is wrong: a lost anchor is replaced by the next camera, a camera
whose clock disagrees with the others is refused, and when all clocks jump, as when a bag begins
again, frames of the new time count at once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

from selfocc_core.camera_deliveries import CameraDeliveries
from selfocc_core.clock_consensus import ClockConsensus, Verdict
from selfocc_core.errors import SelfOccError
from selfocc_core.frame_queue import DropReason, Frame, FrameQueue, Payload

# Sets that may wait at a time, whatever the timeout; fewer than the frames that a camera may keep.
_MOST_SETS = 8
_REFUSED: Mapping[Verdict, DropReason] = {
    Verdict.AHEAD: 'stamp ahead of the other cameras',
    Verdict.BEHIND: 'stamp behind the other cameras',
}


@dataclass(frozen=True)
class SynchronizerConfig:
    """When frames belong together.

    Attributes:
        tolerance_ns: How far a camera's stamp, less its offset, may be from the set's.
        timeout_ns: How long after its opening frame arrived a set may wait for the others.
        minimum_cameras: Sets with fewer cameras are dropped.
        reference: Whose frames open sets. ``'anchor'``: those of the first camera, or while it is
            lost, of the next camera in order. ``'first'``: that of whichever camera comes first
            with a frame that belongs to no earlier set.
        offsets_ns: How much later than the anchor's a camera's shutter is by design.
        silent_after_ns: A camera that delivered nothing for so long, by time of arrival, is lost:
            nobody waits for it, and it is no anchor. Slow cameras are given three periods.
        max_clock_skew_ns: Frames are refused whose stamps, seen at their arrival, are further from
            the other cameras' than this; it must leave room for their latencies to differ. A clock
            that is wrong by less, yet by more than the tolerance, can open sets that nobody joins.

    Raises:
        SelfOccError: There is no such reference.
    """

    tolerance_ns: int = 60_000_000
    timeout_ns: int = 100_000_000
    minimum_cameras: int = 1
    reference: str = 'anchor'
    offsets_ns: Mapping[str, int] = field(default_factory=dict)
    silent_after_ns: int = 500_000_000
    max_clock_skew_ns: int = 1_000_000_000

    def __post_init__(self) -> None:
        if self.reference not in {'anchor', 'first'}:
            raise SelfOccError(
                f'reference "{self.reference}" is unknown: give "anchor" or "first"'
            )


@dataclass(frozen=True)
class SynchronizedSet(Generic[Payload]):
    """Frames that belong together.

    Attributes:
        stamp_ns: The set's moment: the stamp of the frame that opened it, less its offset.
        stamps_ns: Stamp of each camera in the set, as it came.
        payloads: What each camera delivered.
    """

    stamp_ns: int
    stamps_ns: Mapping[str, int]
    payloads: Mapping[str, Payload]


@dataclass(frozen=True)
class _Opened:
    """A set that waits for frames."""

    camera: str
    moment_ns: int
    arrived_ns: int


class Synchronizer(Generic[Payload]):
    """Forms frame sets; knows nothing of ROS, threads or clocks.

    Time of arrival is an argument, so that tests and replay decide what time it is: any clock that
    never goes back. If it does by more than the clocks' skew, that is a clock jump too.

    Each call costs time and memory in proportion to the number of cameras.

    Attributes:
        config: When frames belong together. May be replaced; what it says of offsets, silence and
            clocks must stay.
        clock_jumps: How often all clocks have jumped together.

    Args:
        cameras: Names of all cameras; the first is the anchor.
        config: When frames belong together.

    Raises:
        SelfOccError: There are no cameras, two of one name, or an offset of an unknown camera.
    """

    def __init__(
        self, cameras: Sequence[str], config: SynchronizerConfig = SynchronizerConfig()
    ) -> None:
        if not cameras or len(set(cameras)) < len(cameras):
            raise SelfOccError(
                f'cameras {", ".join(cameras) or "(none)"} cannot be synchronised: name each once'
            )
        self.config = config
        self.clock_jumps = 0
        self._queues: dict[str, FrameQueue[Payload]] = {c: FrameQueue() for c in cameras}
        for camera in config.offsets_ns:
            self._queue(camera)
        self._anchor = cameras[0]
        self._now_ns: int | None = None  # the latest arrival or poll since the first frame

    @property
    def acting_anchor(self) -> str | None:
        """The camera whose frames open sets; None if those of any camera do."""
        return self._anchor if self.config.reference == 'anchor' else None

    @property
    def dropped(self) -> Mapping[str, Counter[str]]:
        """How many frames of each camera did not get into a set, by reason."""
        return {camera: queue.dropped for camera, queue in self._queues.items()}

    @property
    def dropped_by_reason(self) -> Counter[str]:
        """How many frames of all cameras did not get into a set."""
        return sum((queue.dropped for queue in self._queues.values()), Counter())

    @property
    def waiting(self) -> Mapping[str, int]:
        """How many frames of each camera may still get into a set."""
        return {camera: len(queue) for camera, queue in self._queues.items()}

    def refused(self, camera: str) -> int:
        """Return how many frames of a camera were dropped because its clock disagrees."""
        dropped = self._queue(camera).dropped
        return sum(dropped[reason] for reason in _REFUSED.values())

    def push(
        self, camera: str, stamp_ns: int, payload: Payload, now_ns: int
    ) -> list[SynchronizedSet[Payload]]:
        """Take a frame; return the sets that are ready now, oldest first.

        Args:
            camera: Its name.
            stamp_ns: Shutter time by the camera's clock.
            payload: What goes into the set.
            now_ns: Time of arrival.

        Raises:
            SelfOccError: There is no such camera.
        """
        queue = self._queue(camera)
        now_ns = self._advance(now_ns)
        moment_ns = stamp_ns - self.config.offsets_ns.get(camera, 0)
        objection = self._objection(camera, moment_ns, now_ns)
        if objection is None:
            self._take(camera, Frame(moment_ns, stamp_ns, payload), now_ns)
        else:
            queue.drop(objection)
        return self._ready(now_ns)

    def poll(self, now_ns: int) -> list[SynchronizedSet[Payload]]:
        """Return the sets that are complete or have waited long enough, oldest first."""
        return [] if self._now_ns is None else self._ready(self._advance(now_ns))

    def reset(self) -> None:
        """Forget everything but the counts; waiting frames count as dropped."""
        self._drop_all('reset')
        self._anchor = next(iter(self._queues))
        self._now_ns = None

    def _advance(self, now_ns: int) -> int:
        """Return the time of arrival, which does not go back unless its clock was set back."""
        last_ns = self._now_ns
        if last_ns is not None and now_ns < last_ns - self.config.max_clock_skew_ns:
            self._drop_all('clock jump')
            self.clock_jumps += 1
            last_ns = None
        if last_ns is None:
            self._begin(now_ns)
            last_ns = now_ns
        self._now_ns = max(last_ns, now_ns)
        return self._now_ns

    def _begin(self, now_ns: int) -> None:
        """Know nothing but what time it is."""
        self._clocks = ClockConsensus(len(self._queues), self.config.max_clock_skew_ns)
        silent_after_ns = self.config.silent_after_ns
        self._deliveries = CameraDeliveries(self._queues, silent_after_ns, now_ns)
        self._opened: deque[_Opened] = deque()
        self._last_opened: _Opened | None = None

    def _objection(self, camera: str, moment_ns: int, now_ns: int) -> DropReason | None:
        """Return why a frame cannot be taken; None if it can."""
        if moment_ns == self._deliveries.newest_ns(camera):
            return 'duplicate'
        verdict = self._clocks.judge(camera, moment_ns, now_ns)
        if verdict in _REFUSED:
            self._deliveries.refuse(camera)
            return _REFUSED[verdict]
        if verdict is Verdict.JUMPED:
            self._begin_new_time()
        newest_ns = self._deliveries.newest_ns(camera)
        return 'out of order' if newest_ns is not None and moment_ns < newest_ns else None

    def _begin_new_time(self) -> None:
        self._drop_all('clock jump')
        self.clock_jumps += 1
        self._opened.clear()
        self._last_opened = None
        self._deliveries.forget_moments()

    def _drop_all(self, reason: DropReason) -> None:
        for queue in self._queues.values():
            queue.clear(reason)

    def _take(self, camera: str, frame: Frame[Payload], now_ns: int) -> None:
        self._deliveries.take(camera, frame.moment_ns, now_ns)
        self._choose_anchor(now_ns)
        if self._opens(camera, frame.moment_ns):
            self._last_opened = _Opened(camera, frame.moment_ns, now_ns)
            self._opened.append(self._last_opened)
        self._queues[camera].append(frame, [opened.moment_ns for opened in self._opened])

    def _choose_anchor(self, now_ns: int) -> None:
        """Let the first camera in order that delivers be the anchor."""
        delivering = (
            camera for camera in self._queues if not self._deliveries.is_silent(camera, now_ns)
        )
        self._anchor = next(delivering, self._anchor)

    def _opens(self, camera: str, moment_ns: int) -> bool:
        """Whether a frame begins a set, rather than belonging to the last one."""
        last = self._last_opened
        if self.config.reference == 'anchor':
            if camera != self._anchor:
                return False
            if last is not None and last.camera == camera:
                return True
        return last is None or moment_ns > last.moment_ns + self.config.tolerance_ns

    def _ready(self, now_ns: int) -> list[SynchronizedSet[Payload]]:
        self._choose_anchor(now_ns)
        ready: list[SynchronizedSet[Payload]] = []
        while self._opened and self._is_due(self._opened[0], now_ns):
            ready.extend(self._leave(self._opened.popleft()))
        return ready

    def _is_due(self, opened: _Opened, now_ns: int) -> bool:
        if now_ns - opened.arrived_ns >= self.config.timeout_ns or len(self._opened) > _MOST_SETS:
            return True
        return not any(
            self._may_improve(camera, opened.moment_ns, now_ns) for camera in self._queues
        )

    def _may_improve(self, camera: str, moment_ns: int, now_ns: int) -> bool:
        """Whether a frame of the camera that is nearer to the moment can be on its way."""
        if self._deliveries.is_silent(camera, now_ns):
            return False
        tolerance_ns = self.config.tolerance_ns
        nearest = self._queues[camera].nearest(moment_ns, tolerance_ns)
        to_beat_ns = tolerance_ns + 1 if nearest is None else abs(nearest.moment_ns - moment_ns)
        newest_ns = self._deliveries.newest_ns(camera)
        period_ns = self._deliveries.period_ns(camera)
        if newest_ns is None or period_ns is None:
            return nearest is None
        return newest_ns + period_ns - moment_ns < to_beat_ns

    def _leave(self, opened: _Opened) -> Iterator[SynchronizedSet[Payload]]:
        """Take the nearest frames, and yield them as a set if they are enough."""
        found = {
            camera: queue.take(opened.moment_ns, self.config.tolerance_ns)
            for camera, queue in self._queues.items()
        }
        frames = {camera: frame for camera, frame in found.items() if frame is not None}
        if len(frames) < self.config.minimum_cameras:
            for camera in frames:
                self._queues[camera].drop('too few cameras')
            return
        yield SynchronizedSet(
            stamp_ns=opened.moment_ns,
            stamps_ns={camera: frame.stamp_ns for camera, frame in frames.items()},
            payloads={camera: frame.payload for camera, frame in frames.items()},
        )

    def _queue(self, camera: str) -> FrameQueue[Payload]:
        try:
            return self._queues[camera]
        except KeyError:
            raise SelfOccError(
                f'camera "{camera}" is not one of {", ".join(self._queues)}: name it there'
            ) from None
