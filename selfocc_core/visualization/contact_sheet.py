"""Several pictures on one sheet."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from selfocc_core.frames import Image

# As one looks around: the forward cameras above, the backward ones below.
_SURROUND_ORDER = ('front_left', 'front', 'front_right', 'back_left', 'back', 'back_right')
_GAP_PX = 4


def contact_sheet(
    images: Mapping[str, Image],
    columns: int = 3,
    tile_width: int = 480,
    captions: bool = True,
    gap_color: int = 255,
) -> Image:
    """Return RGB images of any sizes as rows of equal tiles, each with its name.

    Surround cameras come in the order in which one looks around, others after them as given.
    """
    names = sorted(images, key=_place)
    first = images[names[0]]
    tile_height = round(tile_width * first.shape[0] / first.shape[1])
    tiles = [_tile(images[n], (tile_width, tile_height), n if captions else '') for n in names]
    rows = -(-len(tiles) // columns)
    columns = min(columns, len(tiles))
    step_y, step_x = tile_height + _GAP_PX, tile_width + _GAP_PX
    sheet = np.full((rows * step_y - _GAP_PX, columns * step_x - _GAP_PX, 3), gap_color, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * step_y, index % columns * step_x
        sheet[top : top + tile_height, left : left + tile_width] = tile
    return sheet


def _place(name: str) -> int:
    return _SURROUND_ORDER.index(name) if name in _SURROUND_ORDER else len(_SURROUND_ORDER)


def _tile(image: Image, size: tuple[int, int], caption: str) -> Image:
    shrinks = size[0] < image.shape[1]
    tile = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    text, font = caption.replace('_', ' '), cv2.FONT_HERSHEY_SIMPLEX
    (text_width, _), _ = cv2.getTextSize(text, font, 0.5, 1)
    if text:
        tile[4:26, 4 : text_width + 14] //= 3
        cv2.putText(tile, text, (9, 20), font, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)
