"""Labels of an image as a PNG file of 8-bit grey values."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_bytes
from selfocc_core.image_decoding import MAX_PIXELS, size_of_png

IGNORED = 255
"""Label of pixels that teach nothing."""

LabelImage = NDArray[np.uint8]

_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_HEADER = struct.Struct('>24xBB')
_GREY = 0


def encode_labels(labels: LabelImage) -> bytes:
    """Return the PNG file of labels ``[H, W]``."""
    _, encoded = cv2.imencode('.png', labels)
    return bytes(encoded)


def read_label_png(path: Path) -> LabelImage:
    """Return the labels ``[H, W]`` of a PNG file.

    Raises:
        SelfOccError: The file is missing, unreasonably large, damaged or not 8-bit grey.
    """
    data = read_bytes(path, 'label image')
    _check_header(path, data)
    labels = _decoded(data)
    if labels is None:
        raise SelfOccError(f'labels {path} are damaged: make them again')
    return labels


def _check_header(path: Path, data: bytes) -> None:
    if len(data) < _HEADER.size or not data.startswith(_SIGNATURE):
        raise SelfOccError(f'labels {path} are not a PNG file: write them as 8-bit grey PNG')
    size, (depth, color) = size_of_png(data), _HEADER.unpack_from(data)
    if size is None:
        raise SelfOccError(f'labels {path} are damaged: make them again')
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise SelfOccError(f'labels {path} are {size[1]}x{size[0]}: make them again, smaller')
    if (depth, color) != (8, _GREY):
        what = f'{depth}-bit grey' if color == _GREY else 'a colour image'
        raise SelfOccError(
            f'labels {path} are {what}: write class indices as an 8-bit grey PNG, without palette'
        )


def _decoded(data: bytes) -> LabelImage | None:
    try:
        labels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    # The header says grey, but a file may say more than that further on.
    return labels if labels is not None and labels.ndim == 2 else None
