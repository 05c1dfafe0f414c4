"""Images as cameras and data sets store them: JPEG and PNG from anywhere."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.frames import Image

MAX_PIXELS = 64 * 10**6

# Calibration belongs to the pixels as the sensor gave them: EXIF must not turn the image.
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
# What stands near the end of a file if it was written to its end: where decoders accept half an
# image, we do not.
_JPEG_END, _PNG_END = b'\xff\xd9', b'IEND'
_END_BYTES = 4096
_PNG_HEADER, _PNG_CHUNK = struct.Struct('>8s4x4sII'), struct.Struct('>I4s')
# Frame headers among the markers C0 to CF; the others of these are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _SCAN = (0xC0, 0xC1), 0xDA
_JPEG_FRAME = struct.Struct('>xHHB')
# Unless one scan has all, each is a pass over all pixels that takes ten bytes in the file.
# Encoders write about ten.
_MAX_SCANS = 100


def decode_image_file(data: NDArray[np.uint8]) -> Image | None:
    """Return the RGB image ``[H, W, 3]`` of the bytes of an image file.

    Returns:
        ``None`` if it is neither JPEG nor PNG, damaged, cut off or unreasonably large.
    """
    content = data.tobytes()
    # OpenCV would make room for whatever size a file says, and try formats that no camera sends.
    size = _size_of(content)
    if size is None or not 0 < size[0] * size[1] <= MAX_PIXELS:
        return None
    try:
        decoded = cv2.imdecode(data, _AS_STORED)
    except cv2.error:
        return None
    if decoded is None or decoded.shape[:2] != size:
        return None
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def _size_of(content: bytes) -> tuple[int, int] | None:
    """Return height and width of a file that has an end; ``None`` if it is none of ours."""
    end = content[-_END_BYTES:]
    if content.startswith(_JPEG) and _JPEG_END in end:
        return _size_of_jpeg(content)
    return size_of_png(content)


def size_of_png(content: bytes) -> tuple[int, int] | None:
    """Return height and width of a PNG file.

    Returns:
        ``None`` if it is none, or not there to its end.
    """
    if not content.startswith(_PNG) or len(content) < _PNG_HEADER.size:
        return None
    _, first, width, height = _PNG_HEADER.unpack_from(content)
    kind, place = b'', len(_PNG)
    while kind != _PNG_END and place + _PNG_CHUNK.size <= len(content):
        size, kind = _PNG_CHUNK.unpack_from(content, place)
        place += _PNG_CHUNK.size + size + 4  # OpenCV would make room for whatever a chunk says
    is_whole = kind == _PNG_END and place <= len(content)
    return (height, width) if first == b'IHDR' and is_whole else None


def _size_of_jpeg(content: bytes) -> tuple[int, int] | None:
    size, components, one_pass = None, 0, False
    for marker, place in _segments(content):
        if marker in _FRAMES and size is None:
            height, width, components = _JPEG_FRAME.unpack_from(content, place)
            size, one_pass = (height, width), marker in _SEQUENTIAL
        elif marker == _SCAN:
            one_pass = one_pass and content[place] == components
            break
    if not one_pass and content.count(bytes((0xFF, _SCAN))) > _MAX_SCANS:
        return None
    return size


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker up to the first scan, and where its content begins."""
    place = len(_JPEG)
    while place + 4 + _JPEG_FRAME.size <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # any number of them may stand before a marker
            place += 1
            continue
        yield marker, place + 4
        if marker == _SCAN:
            return
        place += 2 + max(2, int.from_bytes(content[place + 2 : place + 4], 'big'))
