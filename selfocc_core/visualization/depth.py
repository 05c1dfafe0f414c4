"""Depth as colours: near is warm, far is cold, nothing within range is dark grey."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.frames import Image
from selfocc_core.visualization.colors import LIGHT, NOTHING, Theme, turbo
from selfocc_core.visualization.text import write_text

NEAR_M, FAR_M = 2.0, 60.0


def depth_colors(depth_m: NDArray[Any], near_m: float = NEAR_M, far_m: float = FAR_M) -> Image:
    """Return the RGB picture ``[..., 3]`` of depths ``[...]`` in metres, logarithmic in distance.

    What is not finite (nothing within range) or not positive is dark grey.
    """
    depth_m = np.asarray(depth_m, np.float64)
    known = np.isfinite(depth_m) & (depth_m > 0)
    nearness = np.log(far_m / np.where(known, depth_m, far_m)) / np.log(far_m / near_m)
    return np.where(known[..., None], turbo(0.05 + 0.9 * nearness), NOTHING)


def depth_in_image(
    depth_m: NDArray[np.float32],
    depth_from_image: NDArray[np.float64],
    size: tuple[int, int],
    theme: Theme = LIGHT,
) -> Image:
    """Return the coloured depth image ``[h, w]`` laid over the pixels of a camera image.

    Args:
        depth_m: Depth in metres.
        depth_from_image: Pixels of the depth image from pixels of the picture ``[3, 3]``.
        size: Height and width of the picture; where the depth image does not reach it is
            background.
        theme: Colours behind the data.
    """
    height, width = size
    lattice_height, lattice_width = depth_m.shape
    x = depth_from_image[0, 0] * np.arange(width) + depth_from_image[0, 2]
    y = depth_from_image[1, 1] * np.arange(height) + depth_from_image[1, 2]
    map_x, map_y = np.meshgrid(np.float32(x), np.float32(y))
    picture = cv2.remap(
        depth_colors(depth_m), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    outside_x = (map_x < -0.5) | (map_x > lattice_width - 0.5)
    outside_y = (map_y < -0.5) | (map_y > lattice_height - 0.5)
    return np.where((outside_x | outside_y)[..., None], theme.background, picture)


def draw_depths(
    image: Image, pixels: NDArray[np.float64], depth_m: NDArray[np.float64], spacing_px: float
) -> Image:
    """Return a dimmed copy of an image ``[H, W, 3]`` with true depths ``[P]`` as squares on it."""
    picture = np.asarray(image // 3 + 40, np.uint8)
    half_px = max(0.5, spacing_px / 2)
    corners = np.stack([pixels - half_px, pixels + half_px], 1)
    boxes = np.round(np.clip(corners, -1, 32000)).astype(int)
    colors = depth_colors(depth_m)
    for index in np.argsort(-depth_m):
        (left, top), (right, bottom) = np.maximum(boxes[index], 0)
        picture[top : max(bottom, top + 1), left : max(right, left + 1)] = colors[index]
    return picture


def depth_legend(width: int = 420, height: int = 46, theme: Theme = LIGHT) -> Image:
    """Return a bar that tells which colour is which distance."""
    picture = np.full((height, width, 3), theme.background, np.uint8)
    bar, margin = width - 110, 12
    fraction = np.linspace(0.0, 1.0, bar - 2 * margin)
    metres = NEAR_M * (FAR_M / NEAR_M) ** fraction
    picture[6:22, margin : bar - margin] = depth_colors(metres)
    for metre in (2, 5, 10, 20, 50):
        x = margin + int((bar - 2 * margin) * np.log(metre / NEAR_M) / np.log(FAR_M / NEAR_M))
        write_text(picture, f'{metre} m', (x - 10, height - 8), theme.ink)
    picture[6:22, bar : bar + 24] = NOTHING
    write_text(picture, 'nothing', (bar + 30, 19), theme.ink)
    return picture
