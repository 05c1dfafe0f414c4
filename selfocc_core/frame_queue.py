"""A camera's frames, from their arrival until they are in a frame set or dropped for a reason."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Payload = TypeVar('Payload')

DropReason = Literal[
    'duplicate',
    'out of order',
    'superseded',
    'no anchor frame near it',
    'too few cameras',
    'clock jump',
    'stamp ahead of the other cameras',
    'stamp behind the other cameras',
    'reset',
]

# Half a second of a 30 Hz camera; it bounds memory if nothing uses a camera's frames.
MOST_FRAMES = 16


@dataclass(frozen=True, eq=False)
class Frame(Generic[Payload]):
    """What a camera delivered.

    Attributes:
        moment_ns: Its stamp, less the camera's offset: what frames are matched by.
        stamp_ns: Its stamp.
        payload: The rest.
    """

    moment_ns: int
    stamp_ns: int
    payload: Payload


class FrameQueue(Generic[Payload]):
    """Frames of one camera in the order of their moments.

    Attributes:
        dropped: How many frames did not get into a set, by reason.
    """

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._frames: deque[Frame[Payload]] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    def append(self, frame: Frame[Payload], wanted_ns: Iterable[int]) -> None:
        """Take in a frame later than all others, and drop one if they are too many.

        Args:
            frame: The frame.
            wanted_ns: Moments, fewer than MOST_FRAMES, whose nearest frames must stay.
        """
        self._frames.append(frame)
        if len(self._frames) > MOST_FRAMES:
            wanted = {self._nearest(moment_ns) for moment_ns in wanted_ns}
            self._frames.remove(next(f for f in self._frames if f not in wanted))
            self.drop('no anchor frame near it')

    def nearest(self, moment_ns: int, tolerance_ns: int) -> Frame[Payload] | None:
        """Return the frame nearest to a moment; None if none is within the tolerance."""
        frame = self._nearest(moment_ns) if self._frames else None
        within = frame is not None and abs(frame.moment_ns - moment_ns) <= tolerance_ns
        return frame if within else None

    def take(self, moment_ns: int, tolerance_ns: int) -> Frame[Payload] | None:
        """Remove the frame nearest to a moment, and those that no later moment can want."""
        self._drop_before(moment_ns - tolerance_ns, 'no anchor frame near it')
        frame = self.nearest(moment_ns, tolerance_ns)
        if frame is not None:
            self._drop_before(frame.moment_ns, 'superseded')
            self._frames.popleft()
        return frame

    def clear(self, reason: DropReason) -> None:
        """Drop everything."""
        self.drop(reason, len(self._frames))
        self._frames.clear()

    def drop(self, reason: DropReason, count: int = 1) -> None:
        """Count frames that get into no set."""
        if count:
            self.dropped[reason] += count

    def _drop_before(self, moment_ns: int, reason: DropReason) -> None:
        while self._frames and self._frames[0].moment_ns < moment_ns:
            self._frames.popleft()
            self.drop(reason)

    def _nearest(self, moment_ns: int) -> Frame[Payload]:
        return min(self._frames, key=lambda frame: abs(frame.moment_ns - moment_ns))
