"""Occupied voxels in perspective: shaded cubes, drawn from far to near."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.frames import Image
from selfocc_core.visualization.colors import EGO, LIGHT, Theme, voxel_colors
from selfocc_core.voxels import VoxelGrid

Floats = NDArray[np.float64]

_OVERSAMPLING = 2
_NEAREST_M = 0.5
# The vehicle, of small voxels of its own: body, cabin and wheels as boxes of low and high corner.
_EGO_GRID = VoxelGrid((-1.0, -0.9, 0.0), (3.8, 0.9, 1.6), (24, 9, 8))
_EGO_BOXES = (
    ((0, 0, 1), (24, 9, 5)),
    ((2, 1, 5), (15, 8, 8)),
    ((3, 0, 0), (6, 9, 1)),
    ((17, 0, 0), (20, 9, 1)),
)

# Outward normals of a cube's faces, and the face's corners in units of the cube's edge.
_NORMALS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
_LIGHT = np.array([0.80, 0.62, 0.72, 0.66, 1.0, 0.45])
_CORNERS = np.array(
    [
        [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]],
        [[0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]],
        [[0, 1, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1]],
        [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]],
        [[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]],
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]],
    ],
    np.float64,
)


@dataclass(frozen=True)
class Viewpoint:
    """Where the picture is taken from, in the ego frame.

    Attributes:
        position_m: Position of the eye (x, y, z).
        target_m: Point in the middle of the picture.
        field_of_view_deg: Horizontal angle of view.
    """

    position_m: tuple[float, float, float] = (-27.0, 9.5, 20.0)
    target_m: tuple[float, float, float] = (3.5, 0.0, -1.0)
    field_of_view_deg: float = 56.0

    def image_from_ego(self, width: int, height: int) -> Floats:
        """Return the projection ``[3, 4]`` into a picture of that size."""
        eye = np.asarray(self.position_m)
        forward = _unit(np.asarray(self.target_m) - eye)
        right = _unit(np.cross(forward, (0.0, 0.0, 1.0)))
        rotation = np.stack([right, np.cross(forward, right), forward])
        focal_px = width / (2 * np.tan(np.radians(self.field_of_view_deg) / 2))
        k = np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]])
        return np.asarray(k @ np.hstack([rotation, -(rotation @ eye)[:, None]]), np.float64)


def occupancy_perspective(
    occupied: NDArray[np.bool_],
    grid: VoxelGrid,
    labels: NDArray[np.uint8] | None = None,
    size: tuple[int, int] = (450, 800),
    viewpoint: Viewpoint | None = None,
    theme: Theme = LIGHT,
) -> Image:
    """Return an RGB picture of the occupied voxels ``[X, Y, Z]`` and the vehicle among them.

    Args:
        occupied: Which voxels to draw.
        grid: Their grid in the ego frame.
        labels: Class of each voxel ``[X, Y, Z]``; without it the colour tells the height.
        size: Height and width of the picture.
        viewpoint: Where it is taken from; from behind and above by default.
        theme: Colours of the backdrop.
    """
    viewpoint = viewpoint or Viewpoint()
    height, width = (extent * _OVERSAMPLING for extent in size)
    scene = _visible_faces(occupied, grid, viewpoint, lambda ijk: voxel_colors(ijk, grid, labels))
    ego = _visible_faces(_ego_voxels(), _EGO_GRID, viewpoint, lambda _: EGO[None])
    quads, colors = (np.concatenate(parts) for parts in zip(scene, ego, strict=True))
    canvas = _backdrop(height, width, theme)
    _paint(canvas, quads, colors, viewpoint, theme.sky_bottom)
    smooth = cv2.resize(canvas, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(smooth, np.uint8)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector), np.float64)


def _backdrop(height: int, width: int, theme: Theme) -> Image:
    fraction = np.linspace(0.0, 1.0, height)[:, None, None]
    rows = (1 - fraction) * theme.sky_top + fraction * theme.sky_bottom
    return np.ascontiguousarray(np.broadcast_to(rows, (height, width, 3)), np.uint8)


def _ego_voxels() -> NDArray[np.bool_]:
    occupied = np.zeros(_EGO_GRID.shape, bool)
    for low, high in _EGO_BOXES:
        occupied[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = True
    return occupied


def _visible_faces(
    occupied: NDArray[np.bool_],
    grid: VoxelGrid,
    viewpoint: Viewpoint,
    colors_of: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
) -> tuple[Floats, Floats]:
    """Return the corners ``[F, 4, 3]`` and colours ``[F, 3]`` of the faces that can be seen."""
    padded = np.pad(occupied, 1)
    quads, colors = [], []
    for face, normal in enumerate(_NORMALS):
        covered = np.roll(padded, -normal, (0, 1, 2))[1:-1, 1:-1, 1:-1]
        ijk = np.argwhere(occupied & ~covered)
        corners = grid.minimum_m + grid.voxel_size_m * (ijk[:, None] + _CORNERS[face])
        seen = ((np.asarray(viewpoint.position_m) - corners[:, 0]) * normal).sum(1) > 0
        light = _LIGHT[face] * _openness(padded, ijk[seen], normal)
        quads.append(corners[seen])
        colors.append(colors_of(ijk[seen]) * light[:, None])
    return np.concatenate(quads), np.concatenate(colors)


def _openness(
    padded: NDArray[np.bool_], ijk: NDArray[np.int64], normal: NDArray[np.int64]
) -> Floats:
    """Return how much sky a face sees ``[F]``: corners between voxels lie in shade."""
    x, y, z = (ijk + 1 + normal).T
    around = np.zeros(len(ijk))
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        side_x = np.clip(x + dx, 0, padded.shape[0] - 1)
        side_y = np.clip(y + dy, 0, padded.shape[1] - 1)
        around += padded[side_x, side_y, z]
    return np.asarray(1.0 - 0.09 * around, np.float64)


def _paint(
    canvas: Image, quads: Floats, colors: Floats, viewpoint: Viewpoint, haze_color: Image
) -> None:
    height, width = canvas.shape[:2]
    projection = viewpoint.image_from_ego(width, height)
    homogeneous = quads @ projection[:, :3].T + projection[:, 3]
    in_front = (homogeneous[..., 2] > _NEAREST_M).all(1)
    homogeneous, colors, quads = homogeneous[in_front], colors[in_front], quads[in_front]
    pixels = homogeneous[..., :2] / homogeneous[..., 2:]
    distance_m = np.linalg.norm(quads.mean(1) - viewpoint.position_m, axis=1)
    haze = np.clip((distance_m - 25.0) / 70.0, 0.0, 0.55)[:, None]
    colors = colors * (1 - haze) + haze_color * haze
    corners = np.round(pixels * 16).astype(np.int32)  # OpenCV takes sixteenths of a pixel
    for index in np.argsort(-distance_m):
        red, green, blue = colors[index]
        cv2.fillConvexPoly(canvas, corners[index], (red, green, blue), cv2.LINE_AA, shift=4)
        edge = (0.82 * red, 0.82 * green, 0.82 * blue)
        cv2.polylines(canvas, corners[index : index + 1], True, edge, 1, cv2.LINE_AA, shift=4)
