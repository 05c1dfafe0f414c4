"""The occupied voxels as points, the form in which occupancy is published and recorded."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.pipeline import OccupancyResult
from selfocc_core.semantics import CLASS_NAMES, class_colors
from selfocc_core.voxels import VoxelState

_UNCLASSIFIED = CLASS_NAMES.index('other')


def occupied_points(result: OccupancyResult, threshold: float) -> dict[str, NDArray[Any]]:
    """Return the centres of the occupied voxels with what is known of each.

    Args:
        result: What the network saw.
        threshold: Signed distance below which the model's card calls a voxel occupied.

    Returns:
        Arrays ``[P]``: ``x``, ``y``, ``z`` float32 in metres, ego frame; ``rgb`` uint32 0x00RRGGBB
        by class, else by height; ``label`` uint8, an index into the classes of the model's card,
        or without any "other" of ``selfocc_core.semantics``; ``occupancy`` float32, 0.5 at the
        threshold and 1 half a voxel inside it.
    """
    ijk = np.argwhere(result.states == VoxelState.OCCUPIED)
    depth_inside = (threshold - result.sdf[tuple(ijk.T)]) / result.grid.voxel_size_m.min()
    points: dict[str, NDArray[Any]] = {
        name: result.grid.axis_centers(axis)[ijk[:, axis]].astype(np.float32)
        for axis, name in enumerate('xyz')
    }
    if result.labels is None:
        points['rgb'] = _height_colors(result.grid.shape[2])[ijk[:, 2]]
        points['label'] = np.full(len(ijk), _UNCLASSIFIED, np.uint8)
    else:
        points['label'] = result.labels[tuple(ijk.T)]
        points['rgb'] = _class_colors(result.class_names)[points['label']]
    points['occupancy'] = np.clip(0.5 + depth_inside, 0.0, 1.0).astype(np.float32)
    return points


@cache
def _class_colors(names: tuple[str, ...]) -> NDArray[np.uint32]:
    """Return 0x00RRGGBB for each class."""
    rgb = class_colors(names).astype(np.uint32)
    return np.asarray(rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2], np.uint32)


@cache
def _height_colors(layers: int) -> NDArray[np.uint32]:
    """Return 0x00RRGGBB for each layer of voxels, low to high."""
    ramp = np.linspace(20, 235, layers).astype(np.uint8)
    bgr = cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO).reshape(-1, 3).astype(np.uint32)
    return np.asarray(bgr[:, 2] << 16 | bgr[:, 1] << 8 | bgr[:, 0], np.uint32)
