"""Images as cameras and data sets store them: JPEG and PNG from anywhere."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.frames import Image

_MAX_PIXELS = 64 * 10**6
# Calibration belongs to the pixels as the sensor gave them: EXIF must not turn the image.
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
# How a file begins, and what stands near its end if it was written to its end: where decoders
# accept half an image, we do not.
_ENDS = {b'\xff\xd8': b'\xff\xd9', b'\x89P': b'IEND'}
_END_BYTES = 4096


def decode_image_file(data: NDArray[np.uint8]) -> Image | None:
    """Return the RGB image ``[H, W, 3]`` of the bytes of an image file.

    Returns:
        ``None`` if it is no image, damaged, cut off or unreasonably large.
    """
    end = _ENDS.get(data[:2].tobytes(), b'')
    if len(data) == 0 or end not in data[-_END_BYTES:].tobytes():
        return None
    try:
        decoded = cv2.imdecode(data, _AS_STORED)
    except cv2.error:
        return None
    if decoded is None or decoded.shape[0] * decoded.shape[1] > _MAX_PIXELS:
        return None
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
