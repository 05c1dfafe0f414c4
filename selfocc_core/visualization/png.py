"""Pictures as PNG files."""

from __future__ import annotations

import cv2

from selfocc_core.frames import Image


def encode_png(picture: Image) -> bytes:
    """Return the PNG file of an RGB picture ``[H, W, 3]``."""
    _, encoded = cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return bytes(encoded)
