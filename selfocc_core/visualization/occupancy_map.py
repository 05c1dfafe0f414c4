"""Occupancy from above: the vehicle in the middle, its heading upwards."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.frames import Image
from selfocc_core.visualization.colors import (
    BACKGROUND,
    EGO,
    LIGHT,
    UNKNOWN,
    Theme,
    height_fraction,
    turbo,
    voxel_colors,
)
from selfocc_core.visualization.text import write_text
from selfocc_core.voxels import VoxelGrid, VoxelState

CORRECT = np.array([166, 172, 184], np.uint8)
INVENTED = np.array([226, 87, 62], np.uint8)
MISSED = np.array([52, 112, 214], np.uint8)

_RING_STEP_M = 10.0


def occupancy_from_above(
    states: NDArray[np.uint8],
    grid: VoxelGrid,
    labels: NDArray[np.uint8] | None = None,
    size: int = 512,
    theme: Theme = LIGHT,
) -> Image:
    """Return the RGB map ``[size, size, 3]`` of voxel states ``[X, Y, Z]``.

    A column has the colour of its highest occupied voxel (by label where labels ``[X, Y, Z]`` are
    given, else by height); a column of which nothing is known is ``theme.unknown``.
    """
    occupied = states == VoxelState.OCCUPIED
    columns = np.full((*grid.shape[:2], 3), theme.background, np.uint8)
    columns[(states == VoxelState.UNKNOWN).all(2)] = theme.unknown
    filled = occupied.any(2)
    x, y = np.nonzero(filled)
    highest = grid.shape[2] - 1 - np.argmax(occupied[x, y, ::-1], axis=1)
    columns[x, y] = voxel_colors(np.stack([x, y, highest], 1), grid, labels)
    return _as_map(columns, grid, size)


def height_legend(grid: VoxelGrid, width: int = 320, theme: Theme = LIGHT) -> Image:
    """Return a bar ``[46, width, 3]`` that tells which colour is which height."""
    picture = np.full((46, width, 3), theme.background, np.uint8)
    margin = 12
    heights_m = np.linspace(grid.minimum_m[2], grid.maximum_m[2], width - 2 * margin)
    picture[6:22, margin : width - margin] = turbo(height_fraction(heights_m, grid))
    for metre in range(int(np.ceil(heights_m[0])), int(np.floor(heights_m[-1])) + 1):
        x = margin + int(np.searchsorted(heights_m, metre))
        write_text(picture, f'{metre} m', (x - 10, 38), theme.ink)
    return picture


def occupancy_difference(
    predicted: NDArray[np.bool_],
    true: NDArray[np.bool_],
    visible: NDArray[np.bool_],
    grid: VoxelGrid,
    size: int = 512,
) -> Image:
    """Return the RGB map ``[size, size, 3]`` of what is right, invented and missed.

    All arrays are ``[X, Y, Z]``; a column mixes the colours by the number of visible voxels.
    """
    counts = np.stack(
        [
            (predicted & true & visible).sum(2),
            (predicted & ~true & visible).sum(2),
            (~predicted & true & visible).sum(2),
        ],
        axis=-1,
    )
    total = counts.sum(-1, keepdims=True)
    shares = counts / np.maximum(total, 1)
    mixed = (shares @ np.stack([CORRECT, INVENTED, MISSED]).astype(np.float64)).astype(np.uint8)
    columns = np.where(total > 0, mixed, BACKGROUND).astype(np.uint8)
    columns[~visible.any(2)] = UNKNOWN
    return _as_map(columns, grid, size)


def _as_map(columns: Image, grid: VoxelGrid, size: int) -> Image:
    """Turn columns ``[X, Y, 3]`` so that x points up and y to the left, and draw the vehicle."""
    turned = np.ascontiguousarray(columns[::-1, ::-1])
    picture = cv2.resize(turned, (size, size), interpolation=cv2.INTER_NEAREST)
    scale_x = size / (grid.maximum_m[0] - grid.minimum_m[0])
    scale_y = size / (grid.maximum_m[1] - grid.minimum_m[1])

    def pixel(x_m: float, y_m: float) -> tuple[int, int]:
        return round((grid.maximum_m[1] - y_m) * scale_y), round(
            (grid.maximum_m[0] - x_m) * scale_x
        )

    for radius_m in np.arange(_RING_STEP_M, grid.maximum_m[0], _RING_STEP_M):
        axes = round(radius_m * scale_y), round(radius_m * scale_x)
        center = pixel(0.0, 0.0)
        cv2.ellipse(picture, center, axes, 0, 0, 360, (120, 124, 134), 1, cv2.LINE_AA)
    outline = np.array([pixel(*corner) for corner in ((3.8, 0.0), (-0.9, 0.95), (-0.9, -0.95))])
    cv2.fillPoly(picture, [outline], tuple(int(c) for c in EGO), cv2.LINE_AA)
    return np.asarray(picture, np.uint8)
