"""Images that arrive in order and still show nothing: black, saturated, frozen."""

from __future__ import annotations

import cv2
import numpy as np

from selfocc_core.frames import Image

BLACK, SATURATED, FROZEN = 'black image', 'saturated image', 'frozen image'
_BLACK_LEVEL, _WHITE_LEVEL = 8, 250
# Lamps light up some of a night's image, and the sun blinds only some of a day's.
_BLACK_SHARE, _SATURATED_SHARE = 0.99, 0.95


def exposure_fault(image: Image) -> str | None:
    """Return what makes an image useless, if anything: a covered lens, a sensor that failed.

    Args:
        image: The network input ``[H, W, 3]``: small, and free of single dead pixels.
    """
    if _share_between(image, 0, _BLACK_LEVEL) >= _BLACK_SHARE:
        return BLACK
    if _share_between(image, _WHITE_LEVEL, 255) >= _SATURATED_SHARE:
        return SATURATED
    return None


def _share_between(image: Image, low: int, high: int) -> float:
    """Return the share of the pixels of which all channels lie between two levels."""
    inside = cv2.inRange(image, (low, low, low), (high, high, high))
    return float(cv2.countNonZero(inside) / inside.size)


class FreezeWatch:
    """Notices a camera whose stamps go on while its image stays the same.

    Noise makes two images of a real sensor differ even where nothing moves.

    Args:
        limit: So many equal images after the first make a freeze; 0 never looks.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: Image | None = None
        self._repeats = 0

    def is_frozen(self, image: Image) -> bool:
        """Take the camera's next image."""
        same = self._last is not None and np.array_equal(image, self._last)
        self._repeats = self._repeats + 1 if same else 0
        self._last = image
        return 0 < self._limit <= self._repeats
