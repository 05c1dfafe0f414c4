"""The pictures of a replay report: cameras, depth and occupancy beside their truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera, Rig
from selfocc_core.depth import DepthImage
from selfocc_core.evaluation import page
from selfocc_core.evaluation.depth import FARTHEST_M, project
from selfocc_core.evaluation.moments import Moment
from selfocc_core.frames import Image
from selfocc_core.visualization import (
    contact_sheet,
    depth_in_image,
    depth_legend,
    draw_depths,
    occupancy_difference,
    occupancy_from_above,
    occupancy_perspective,
)
from selfocc_core.visualization.colors import LIGHT, UNKNOWN, Theme
from selfocc_core.visualization.occupancy_map import CORRECT, INVENTED, MISSED
from selfocc_core.voxels import VoxelGrid, VoxelState

_TILE_WIDTH = 400
_COLUMNS = 3


def moment_section(number: int, moment: Moment, rig: Rig, grid: VoxelGrid, start_ns: int) -> str:
    """Return the section of one moment; ``start_ns`` is when the drive began."""
    seconds = (moment.stamp_ns - start_ns) * 1e-9
    return page.section(
        f'Moment {number}, {seconds:.1f} s into the drive',
        _camera_part(moment),
        _depth_part(moment, rig),
        _above_part(moment, grid),
        _perspective_part(moment, grid),
    )


def _camera_part(moment: Moment) -> str:
    if not moment.frames:
        return page.paragraph('The drive has no images near this moment.')
    images = {name: frame.image for name, frame in moment.frames.items()}
    sheet = contact_sheet(images, _COLUMNS, _TILE_WIDTH)
    return '<h3>Cameras</h3>' + page.photo(sheet, 'What the node received.')


def _depth_part(moment: Moment, rig: Rig) -> str:
    if not moment.depths:
        return page.paragraph('The node published no depth for this moment.')
    predicted = {name: predicted_depth(depth, rig[name]) for name, depth in moment.depths.items()}
    parts = [
        page.picture(contact_sheet(predicted, _COLUMNS, _TILE_WIDTH), 'Published depth.'),
    ]
    if moment.depth_truths:
        true = {name: _true_depth(moment, rig[name]) for name in moment.depth_truths}
        sheet = contact_sheet(true, _COLUMNS, _TILE_WIDTH)
        parts.append(page.picture(sheet, 'True depth at the same shutter times.'))
    legend = page.picture(depth_legend(), '', 'legend')
    return '<h3>Depth</h3>' + page.row(*parts) + legend


def _picture_from_image(
    camera: Camera, width: int = _TILE_WIDTH
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    scale = width / camera.width
    shift = 0.5 * scale - 0.5
    matrix = np.array([[scale, 0.0, shift], [0.0, scale, shift], [0.0, 0.0, 1.0]])
    return matrix, (round(camera.height * scale), width)


def predicted_depth(
    depth: DepthImage, camera: Camera, width: int = _TILE_WIDTH, theme: Theme = LIGHT
) -> Image:
    """Return a published depth image in colours, as it lies over the camera's image."""
    picture_from_image, size = _picture_from_image(camera, width)
    picture_from_camera = picture_from_image @ camera.image_from_camera
    depth_from_picture = depth.image_from_camera @ np.linalg.inv(picture_from_camera)
    return depth_in_image(depth.depth_m, depth_from_picture, size, theme)


def _true_depth(moment: Moment, camera: Camera) -> Image:
    truth, frame = moment.depth_truths[camera.name], moment.frames[camera.name]
    picture_from_image, (height, width) = _picture_from_image(camera)
    points = truth.points[(truth.points[:, 2] > 0) & (truth.points[:, 2] <= FARTHEST_M)]
    pixels = project(points, picture_from_image @ camera.image_from_camera)
    image = contact_sheet({camera.name: frame.image}, 1, width, captions=False)[:height]
    spacing_px = max(truth.spacing_px * width / camera.width, 2.0)
    return draw_depths(image, pixels, points[:, 2], spacing_px)


def _above_part(moment: Moment, grid: VoxelGrid) -> str:
    parts = [
        page.picture(occupancy_from_above(moment.states, grid), 'Published, from above.'),
    ]
    if moment.truth is not None:
        predicted = moment.states == VoxelState.OCCUPIED
        true, visible = moment.truth.occupied, moment.truth.visible
        true_states = np.where(visible, VoxelState.FREE, VoxelState.UNKNOWN).astype(np.uint8)
        true_states[true & visible] = VoxelState.OCCUPIED
        difference = occupancy_difference(predicted, true, visible, grid)
        parts += [
            page.picture(occupancy_from_above(true_states, grid), 'True, visible voxels only.'),
            page.picture(difference, 'Difference over the visible voxels.'),
        ]
    key = page.color_key(
        [
            ('right', CORRECT.tolist()),
            ('invented', INVENTED.tolist()),
            ('missed', MISSED.tolist()),
            ('unknown: no camera sees it', UNKNOWN.tolist()),
        ]
    )
    note = 'Colour tells the height of the highest occupied voxel; rings every 10 m, heading up.'
    return f'<h3>Occupancy</h3>{page.row(*parts)}{key}{page.paragraph(note)}'


def _perspective_part(moment: Moment, grid: VoxelGrid) -> str:
    predicted = occupancy_perspective(moment.states == VoxelState.OCCUPIED, grid)
    parts = [page.picture(predicted, 'Published occupancy.')]
    if moment.truth is not None:
        true = occupancy_perspective(moment.truth.occupied & moment.truth.visible, grid)
        parts.append(page.picture(true, 'True occupancy, visible voxels only.'))
    return page.row(*parts)
