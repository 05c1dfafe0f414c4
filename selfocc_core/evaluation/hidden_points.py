"""Which LiDAR points a camera sees, though the LiDAR sits somewhere else.

A LiDAR on the roof sees over things that hide what is behind them from a camera below. In the
image such points lie on the thing that hides them, between its own points, which are too far apart
to cover them. So each point is drawn as large as the gap to its neighbours in the LiDAR's view:
surfaces then are closed, and what is behind them is hidden. No larger than the gap, or the ground
would hide the next ring of ground behind it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]

_BEHIND = 1.1  # a little, for surfaces that are seen at a slant and for errors of calibration
_BEHIND_M = 0.3
_CELLS_PER_GAP = 4
_NEAREST_M = 0.1
_SAME_BEAM_RAD = 2e-3
_COLUMNS = 720
_LARGEST_GAP_RAD = 0.05


def beam_gap_rad(points: Floats) -> float:
    """Return the angle between neighbouring beams of a LiDAR, of its points ``[P, 3]``.

    It is the median gap between successive elevations in narrow columns of azimuth, in the frame
    of the LiDAR; 0 if there are too few points to tell.
    """
    reach_m = np.linalg.norm(points, axis=1)
    points = points[reach_m > 0]
    elevation = np.arcsin(points[:, 2] / reach_m[reach_m > 0])
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    column = np.floor((azimuth / np.pi + 1) * _COLUMNS / 2).astype(np.int64)
    order = np.lexsort((elevation, column))
    gaps = np.diff(elevation[order])[np.diff(column[order]) == 0]
    gaps = gaps[gaps > _SAME_BEAM_RAD]
    return min(float(np.median(gaps)), _LARGEST_GAP_RAD) if len(gaps) else 0.0


def seen_points(
    points: Floats, image_from_camera: Floats, size: tuple[int, int], gap_rad: float
) -> NDArray[np.bool_]:
    """Return which points ``[P, 3]`` of a camera's frame the camera sees.

    Args:
        points: Points in the optical frame.
        image_from_camera: Intrinsics ``[3, 3]``, without distortion.
        size: Height and width of the image.
        gap_rad: Angle between neighbouring beams of the LiDAR, see ``beam_gap_rad``.

    Returns:
        Points in the image that no nearer point hides.
    """
    height, width = size
    in_front = np.isfinite(points).all(1) & (points[:, 2] >= _NEAREST_M)
    homogeneous = np.where(in_front[:, None], points, 1.0) @ image_from_camera.T
    pixels = homogeneous[:, :2] / homogeneous[:, 2:]
    inside = (pixels >= -0.5).all(1) & (pixels < (width - 0.5, height - 0.5)).all(1)
    seen = np.flatnonzero(in_front & inside)
    depth_m = points[seen, 2]
    gap_px = gap_rad * np.diag(image_from_camera)[:2]
    cell_px = np.maximum(gap_px / _CELLS_PER_GAP, 1.0)
    column, row = np.floor((pixels[seen] + 0.5) / cell_px).astype(np.int64).T
    shape = tuple(np.ceil((height, width) / cell_px[::-1]).astype(int))
    nearest_m = np.full(shape, np.inf)
    np.minimum.at(nearest_m, (row, column), depth_m)
    reach = (0.5 * gap_px / cell_px).astype(int)
    nearest_m = ndimage.minimum_filter(
        nearest_m, (2 * reach[1] + 1, 2 * reach[0] + 1), mode='constant', cval=np.inf
    )
    hidden = depth_m > nearest_m[row, column] * _BEHIND + _BEHIND_M
    result = np.zeros(len(points), bool)
    result[seen[~hidden]] = True
    return result
