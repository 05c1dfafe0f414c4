"""How each camera delivers: what came last, how often something comes, and who fell silent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_low

# So many recent gaps between frames tell the usual one, though two of them span lost frames.
_GAPS = 5
# A slow camera is silent when so many of its own frames are missing, but not later than so many
# times the silence of others.
_MISSING, _MOST_PATIENCE = 3, 10


@dataclass
class _Deliveries:
    heard_ns: int = 0  # in busy time
    pauses_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_GAPS))
    moment_ns: int | None = None
    periods_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_GAPS))
    refused: bool = False

    def take(self, moment_ns: int, busy_ns: int) -> None:
        if self.moment_ns is not None:
            self.pauses_ns.append(busy_ns - self.heard_ns)
            self.periods_ns.append(moment_ns - self.moment_ns)
        self.heard_ns, self.moment_ns, self.refused = busy_ns, moment_ns, False

    def patience_ns(self, silent_after_ns: int) -> int:
        pause_ns = median_low(self.pauses_ns) if self.pauses_ns else 0
        return min(max(silent_after_ns, _MISSING * pause_ns), _MOST_PATIENCE * silent_after_ns)


class CameraDeliveries:
    """What is known of the cameras from the frames taken so far.

    A camera is silent when it delivers nothing while others do. So time is counted in which there
    are frames; a gap without any, as when a recording is held, the receiver stalls or all cameras
    are slow, counts for no more than a third of the silence.

    Args:
        cameras: Their names.
        silent_after_ns: For how long a silent camera has delivered nothing; one that usually has
            long gaps is given three of them.
        now_ns: Time of arrival of the first frame. A camera that never delivered counts as heard
            then.
    """

    def __init__(self, cameras: Iterable[str], silent_after_ns: int, now_ns: int) -> None:
        self._cameras = {camera: _Deliveries() for camera in cameras}
        self._silent_after_ns = silent_after_ns
        self._busy_ns, self._latest_ns = 0, now_ns

    def take(self, camera: str, moment_ns: int, now_ns: int) -> None:
        """Take note of a frame; its moment is after those that the camera delivered before."""
        self._busy_ns, self._latest_ns = self._busy_at(now_ns), now_ns
        self._cameras[camera].take(moment_ns, self._busy_ns)

    def refuse(self, camera: str) -> None:
        """Count a camera as silent until one of its frames is taken."""
        self._cameras[camera].refused = True

    def forget_moments(self) -> None:
        """Begin a new time, which may lie before the old one, and refuse nobody."""
        for deliveries in self._cameras.values():
            deliveries.moment_ns, deliveries.refused = None, False

    def newest_ns(self, camera: str) -> int | None:
        """Return the moment of the camera's newest frame; None if it has none of this time."""
        return self._cameras[camera].moment_ns

    def period_ns(self, camera: str) -> int | None:
        """Return the usual time from shutter to shutter; None if it is not known yet."""
        periods_ns = self._cameras[camera].periods_ns
        return median_low(periods_ns) if periods_ns else None

    def is_silent(self, camera: str, now_ns: int) -> bool:
        """Whether nothing of the camera is to be expected."""
        deliveries = self._cameras[camera]
        silence_ns = self._busy_at(now_ns) - deliveries.heard_ns
        return deliveries.refused or silence_ns >= deliveries.patience_ns(self._silent_after_ns)

    def _busy_at(self, now_ns: int) -> int:
        return self._busy_ns + min(now_ns - self._latest_ns, self._silent_after_ns // 3)
