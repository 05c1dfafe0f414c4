"""One picture of a moment: cameras, depth, and the occupancy in perspective and from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from selfocc_core.cameras import Rig
from selfocc_core.evaluation.replay_pictures import predicted_depth
from selfocc_core.frames import Image
from selfocc_core.viewer.snapshot import Snapshot, voxel_states
from selfocc_core.visualization import (
    contact_sheet,
    depth_legend,
    height_legend,
    occupancy_from_above,
    occupancy_perspective,
)
from selfocc_core.visualization.colors import DARK, NOTHING
from selfocc_core.visualization.text import write_text
from selfocc_core.voxels import VoxelGrid, VoxelState

_WIDTH = 1552
_MARGIN, _GAP = 24, 16
_HALF = (_WIDTH - _GAP) // 2
_MAP = 528
_HEADING = 46
_COLUMNS, _TILE_GAP = 3, 4


def picture(moment: Snapshot, title: str, rig: Rig, grid: VoxelGrid | None) -> Image:
    """Return the RGB picture of a moment, 1600 pixels wide.

    Args:
        moment: What to show.
        title: First line.
        rig: The cameras of the drive; those without an image are shown dark.
        grid: Grid of the occupied voxels; ``None`` for cameras alone.
    """
    rows = [_title(title)]
    if grid is None:
        rows.append(_panel('Cameras', _cameras(moment, rig, _WIDTH)))
    else:
        rows += [_side_by_side(_images(moment, rig)), _side_by_side(_voxels(moment, rig, grid))]
    body = _stacked(rows)
    margins = ((_MARGIN // 2, _MARGIN), (_MARGIN, _MARGIN), (0, 0))
    channels = [
        np.pad(body[..., c : c + 1], margins, constant_values=int(DARK.background[c]))
        for c in range(3)
    ]
    return np.concatenate(channels, axis=2)


def _images(moment: Snapshot, rig: Rig) -> list[Image]:
    cameras = _panel('Cameras', _cameras(moment, rig, _HALF))
    legend = depth_legend(theme=DARK)
    return [cameras, _panel('Depth', _depths(moment, rig, _HALF), legend)]


def _voxels(moment: Snapshot, rig: Rig, grid: VoxelGrid) -> list[Image]:
    states = voxel_states(moment, rig, grid)
    size = (_MAP, _WIDTH - _GAP - _MAP)
    perspective = occupancy_perspective(states == VoxelState.OCCUPIED, grid, size=size, theme=DARK)
    above = occupancy_from_above(states, grid, size=_MAP, theme=DARK)
    edge_m = ' x '.join(f'{edge:g}' for edge in np.round(grid.voxel_size_m, 2))
    heading = f'Occupancy, {np.sum(states == VoxelState.OCCUPIED)} voxels of {edge_m} m'
    return [
        _panel(heading, perspective, height_legend(grid, theme=DARK)),
        _panel('From above, rings every 10 m, grey is unseen', above),
    ]


def _cameras(moment: Snapshot, rig: Rig, width: int) -> Image:
    images = {
        camera.name: moment.frames[camera.name].image
        if camera.name in moment.frames
        else _nothing(camera.height, camera.width)
        for camera in rig
    }
    return _sheet(images, width)


def _depths(moment: Snapshot, rig: Rig, width: int) -> Image:
    tile_width = _tile_width(width)
    theme = replace(DARK, background=DARK.unknown)  # above what the network sees of the image
    images = {
        camera.name: predicted_depth(moment.depths[camera.name], camera, tile_width, theme)
        if camera.name in moment.depths
        else _nothing(camera.height, camera.width)
        for camera in rig
    }
    return _sheet(images, width)


def _sheet(images: dict[str, Image], width: int) -> Image:
    """Return the images side by side; few of them leave room on the right."""
    gap_color = int(DARK.background[0])
    tiles = contact_sheet(images, _COLUMNS, _tile_width(width), gap_color=gap_color)
    sheet = np.full((tiles.shape[0], width, 3), DARK.background, np.uint8)
    sheet[:, : tiles.shape[1]] = tiles
    return sheet


def _tile_width(width: int) -> int:
    return (width - (_COLUMNS - 1) * _TILE_GAP) // _COLUMNS


def _nothing(height: int, width: int) -> Image:
    return np.full((height, width, 3), NOTHING, np.uint8)


def _title(text: str) -> Image:
    line = np.full((40, _WIDTH, 3), DARK.background, np.uint8)
    write_text(line, text, (0, 28), DARK.ink, 0.8)
    return line


def _panel(heading: str, image: Image, legend: Image | None = None) -> Image:
    strip = np.full((_HEADING, image.shape[1], 3), DARK.background, np.uint8)
    write_text(strip, heading, (0, 30), DARK.ink, 0.6)
    if legend is not None:
        strip[:, -legend.shape[1] :] = legend
    return np.vstack([strip, image])


def _side_by_side(images: Sequence[Image]) -> Image:
    height = max(image.shape[0] for image in images)
    width = sum(image.shape[1] for image in images) + _GAP * (len(images) - 1)
    row = np.full((height, width, 3), DARK.background, np.uint8)
    left = 0
    for image in images:
        row[: image.shape[0], left : left + image.shape[1]] = image
        left += image.shape[1] + _GAP
    return row


def _stacked(images: Sequence[Image]) -> Image:
    height = sum(image.shape[0] for image in images)
    column = np.full((height, _WIDTH, 3), DARK.background, np.uint8)
    top = 0
    for image in images:
        column[top : top + image.shape[0], : image.shape[1]] = image
        top += image.shape[0]
    return column
