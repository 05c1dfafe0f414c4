"""Text on pictures."""

from __future__ import annotations

import cv2

from selfocc_core.frames import Image

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def write_text(
    picture: Image, text: str, position: tuple[int, int], color: Image, scale: float = 0.4
) -> None:
    """Write into a picture ``[H, W, 3]``; the baseline begins at ``position`` (x, y)."""
    red, green, blue = (int(channel) for channel in color)
    cv2.putText(picture, text, position, _FONT, scale, (red, green, blue), 1, cv2.LINE_AA)
