"""The colours that the pictures share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.frames import Image
from selfocc_core.semantics import CLASS_COLORS
from selfocc_core.voxels import VoxelGrid

BACKGROUND = np.array([250, 250, 252], np.uint8)
INK = np.array([40, 44, 52], np.uint8)
NOTHING = np.array([58, 60, 70], np.uint8)
UNKNOWN = np.array([205, 208, 216], np.uint8)
EGO = np.array([235, 64, 52], np.uint8)


@dataclass(frozen=True, eq=False)
class Theme:
    """What lies behind the data; all are RGB ``[3]``.

    Attributes:
        background: Canvas, and what is known to be free.
        ink: Text.
        unknown: What nothing is known of.
        sky_top: Upper edge behind a perspective view.
        sky_bottom: Lower edge of it, and the haze in the distance.
    """

    background: Image
    ink: Image
    unknown: Image
    sky_top: Image
    sky_bottom: Image


LIGHT = Theme(
    background=BACKGROUND,
    ink=INK,
    unknown=UNKNOWN,
    sky_top=np.array([222, 231, 242], np.uint8),
    sky_bottom=BACKGROUND,
)
DARK = Theme(
    background=np.array([16, 18, 24], np.uint8),
    ink=np.array([214, 218, 226], np.uint8),
    unknown=np.array([44, 48, 58], np.uint8),
    sky_top=np.array([38, 46, 62], np.uint8),
    sky_bottom=np.array([22, 25, 33], np.uint8),
)


def turbo(fraction: NDArray[Any]) -> NDArray[np.uint8]:
    """Return RGB ``[..., 3]`` of fractions ``[...]`` between 0 (blue) and 1 (red)."""
    levels = np.uint8(np.clip(np.nan_to_num(fraction), 0.0, 1.0) * 255)
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8).reshape(-1, 1), cv2.COLORMAP_TURBO)
    return np.asarray(table[levels, 0, ::-1], np.uint8)


def height_fraction(height_m: NDArray[np.float64], grid: VoxelGrid) -> NDArray[np.float64]:
    """Return where heights ``[...]`` lie in the coloured range, from the ground to the top."""
    low_m, high_m = max(grid.minimum_m[2], -1.0), grid.maximum_m[2]
    return np.asarray(0.12 + 0.8 * (height_m - low_m) / (high_m - low_m), np.float64)


def voxel_colors(
    ijk: NDArray[np.int64], grid: VoxelGrid, labels: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """Return the RGB colour ``[P, 3]`` of voxels ``[P, 3]``: by label, else by height."""
    if labels is not None:
        classes = np.minimum(labels[tuple(ijk.T)], len(CLASS_COLORS) - 1)
        return np.asarray(CLASS_COLORS[classes], np.uint8)
    return turbo(height_fraction(grid.axis_centers(2)[ijk[:, 2]], grid))
