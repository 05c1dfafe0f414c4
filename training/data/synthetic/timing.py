"""When the sensors of a generated drive fire."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

START_NS = 1_700_000_000 * 10**9
ODOMETRY_PERIOD_NS = 20_000_000
ODOMETRY_MARGIN_NS = 200_000_000
REFERENCE_CAMERA = 'front'

# The cameras fire one after the other while a scan turns clockwise over half a period.
_SHARE_OF_PERIOD = {
    'front_left': 0.0,
    'front': 0.08,
    'front_right': 0.165,
    'back_right': 0.255,
    'back': 0.375,
    'back_left': 0.495,
}


@dataclass(frozen=True)
class Timing:
    """Stamps of a drive in integer nanoseconds.

    Attributes:
        seconds: length of the drive.
        rate_hz: frame sets per second.
        keyframe_hz: ground truth per second.
    """

    seconds: float
    rate_hz: float
    keyframe_hz: float = 2.0

    @property
    def count(self) -> int:
        """Number of frame sets."""
        return max(1, round(self.seconds * self.rate_hz))

    def camera_stamp_ns(self, frame_set: int, camera: str) -> int:
        """Return the shutter time of a camera in a frame set."""
        return START_NS + round((frame_set + _SHARE_OF_PERIOD[camera]) * 1e9 / self.rate_hz)

    def reference_stamp_ns(self, frame_set: int) -> int:
        """Return the stamp of a frame set: that of the front camera."""
        return self.camera_stamp_ns(frame_set, REFERENCE_CAMERA)

    def is_keyframe(self, frame_set: int) -> bool:
        """Tell whether a frame set gets ground truth."""
        return frame_set % max(1, round(self.rate_hz / self.keyframe_hz)) == 0

    def odometry_stamps_ns(self) -> NDArray[np.int64]:
        """Return the stamps of the odometry: 50 Hz, reaching beyond the images on both sides."""
        end = START_NS + round(self.count * 1e9 / self.rate_hz) + ODOMETRY_MARGIN_NS
        return np.arange(START_NS - ODOMETRY_MARGIN_NS, end + 1, ODOMETRY_PERIOD_NS)


def seconds_of(stamp_ns: int) -> float:
    """Return the time of a stamp in seconds of the world."""
    return (stamp_ns - START_NS) / 1e9
