"""JPEG and PNG files as they are: what they are is read from their headers, nothing is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera
from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_bytes

_PNG, _JPEG = b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff'
_PNG_END, _JPEG_END = b'IEND', b'\xff\xd9'
_END_BYTES = 4096  # after the end of an image there may be padding
# Markers of JPEG that begin a frame, and thus tell its size.
_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """An image file.

    Attributes:
        format: As in ``sensor_msgs/CompressedImage``.
        width: Width in pixels.
        height: Height in pixels.
        data: The bytes of the file ``[B]``.
    """

    format: Literal['jpeg', 'png']
    width: int
    height: int
    data: NDArray[np.uint8]


def read_encoded_image(path: Path) -> EncodedImage:
    """Read an image file without decoding it.

    Raises:
        SelfOccError: It is missing, too large, cut off, or neither JPEG nor PNG.
    """
    content = read_bytes(path, 'image')
    try:
        image = _png(content) if content.startswith(_PNG) else _jpeg(content)
    except (struct.error, IndexError):
        image = None
    if image is None:
        raise SelfOccError(f'image {path} is damaged or neither JPEG nor PNG: unpack it again')
    return image


def read_image_of(camera: Camera, path: Path) -> EncodedImage:
    """Read an image that a camera took.

    Raises:
        SelfOccError: It is damaged, or has another size than the camera is calibrated for.
    """
    image = read_encoded_image(path)
    if (image.width, image.height) != (camera.width, camera.height):
        raise SelfOccError(
            f'image {path} is {image.width}x{image.height} but camera "{camera.name}" is '
            f'calibrated for {camera.width}x{camera.height}: unpack both again'
        )
    return image


def _png(content: bytes) -> EncodedImage | None:
    if content[12:16] != b'IHDR' or _PNG_END not in content[-_END_BYTES:]:
        return None
    width, height = struct.unpack_from('>II', content, 16)
    return EncodedImage('png', width, height, np.frombuffer(content, np.uint8))


def _jpeg(content: bytes) -> EncodedImage | None:
    if not content.startswith(_JPEG) or _JPEG_END not in content[-_END_BYTES:]:
        return None
    at = 2
    while content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from('>HH', content, at + 5)
            return EncodedImage('jpeg', width, height, np.frombuffer(content, np.uint8))
        at += 1 if marker == 0xFF else 2 + struct.unpack_from('>H', content, at + 2)[0]
    return None
