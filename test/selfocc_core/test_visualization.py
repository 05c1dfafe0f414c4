from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.visualization import (
    Viewpoint,
    contact_sheet,
    depth_colors,
    depth_in_image,
    depth_legend,
    draw_depths,
    height_legend,
    occupancy_difference,
    occupancy_from_above,
    occupancy_perspective,
)
from selfocc_core.visualization.colors import BACKGROUND, DARK, EGO, NOTHING, UNKNOWN
from selfocc_core.visualization.occupancy_map import CORRECT, INVENTED, MISSED
from selfocc_core.voxels import VoxelGrid, VoxelState

GRID = VoxelGrid((-16.0, -16.0, -2.0), (16.0, 16.0, 4.0), (32, 32, 12))


def test_near_is_warm_far_is_cold_and_nothing_is_grey():
    near, far, nothing, invalid = depth_colors(np.array([3.0, 45.0, np.inf, np.nan]))
    assert near[0] > near[2]
    assert far[2] > far[0]
    np.testing.assert_array_equal(nothing, NOTHING)
    np.testing.assert_array_equal(invalid, NOTHING)


def test_depth_is_laid_over_the_pixels_it_belongs_to():
    depth = np.array([[3.0, 45.0]], np.float32)
    # The depth image covers the lower half of a picture of 4 x 4 pixels.
    depth_from_image = np.array([[0.5, 0, -0.25], [0, 0.5, -1.25], [0, 0, 1]])
    picture = depth_in_image(depth, depth_from_image, (4, 4))
    np.testing.assert_array_equal(picture[:2], np.broadcast_to(BACKGROUND, (2, 4, 3)))
    np.testing.assert_array_equal(picture[2:, 0], depth_colors(np.array([3.0, 3.0])))
    np.testing.assert_array_equal(picture[2:, 3], depth_colors(np.array([45.0, 45.0])))


def test_the_nearest_true_depth_is_on_top():
    image = np.zeros((9, 9, 3), np.uint8)
    pixels = np.array([[4.0, 4.0], [4.0, 4.0]])
    for depths in ((5.0, 30.0), (30.0, 5.0)):
        picture = draw_depths(image, pixels, np.array(depths), 3.0)
        np.testing.assert_array_equal(picture[4, 4], depth_colors(np.array(5.0)))


def test_points_beyond_the_picture_do_no_harm():
    image = np.zeros((9, 9, 3), np.uint8)
    pixels = np.array([[-1e9, 2.0], [1e9, 1e9], [8.9, 8.9]])
    assert draw_depths(image, pixels, np.full(3, 5.0), 2.0).shape == (9, 9, 3)
    assert depth_legend().ndim == 3


def place(picture, x_m, y_m):
    """Colour of the map at a place of the ego frame: up is forward, left is left."""
    scale = picture.shape[0] / 32
    return picture[int((16 - x_m) * scale), int((16 - y_m) * scale)].tolist()


def test_the_map_has_forward_up_and_left_left():
    states = np.full(GRID.shape, VoxelState.FREE, np.uint8)
    states[tuple(GRID.indices((12.2, 4.3, 0.2))[0])] = VoxelState.OCCUPIED
    states[tuple(GRID.indices((-12.2, -4.3, 0.2))[0])[:2]] = VoxelState.UNKNOWN
    labels = np.full(GRID.shape, 8, np.uint8)
    picture = occupancy_from_above(states, GRID, labels, size=320)
    assert place(picture, 12.3, 4.3) == [60, 90, 200]
    assert place(picture, -12.3, -4.3) == UNKNOWN.tolist()
    assert place(picture, 12.3, -4.3) == BACKGROUND.tolist()
    assert place(picture, 0.5, 0.0) == EGO.tolist()


def test_the_map_shows_the_highest_voxel():
    states = np.full(GRID.shape, VoxelState.FREE, np.uint8)
    labels = np.ones(GRID.shape, np.uint8)
    states[tuple(GRID.indices((12.2, 4.3, 0.0))[0])[:2]] = VoxelState.OCCUPIED
    labels[:, :, -1] = 4
    assert place(occupancy_from_above(states, GRID, labels, 320), 12.3, 4.3) == [198, 150, 110]


@pytest.mark.parametrize(
    ('predicted', 'true', 'color'),
    [(True, True, CORRECT), (True, False, INVENTED), (False, True, MISSED)],
)
def test_the_difference_tells_right_invented_and_missed(predicted, true, color):
    everywhere, column = np.ones(GRID.shape, bool), np.zeros(GRID.shape, bool)
    column[tuple(GRID.indices((12.2, 4.3, 0.0))[0])] = True
    picture = occupancy_difference(column & predicted, column & true, everywhere, GRID, 320)
    assert place(picture, 12.3, 4.3) == color.tolist()
    hidden = occupancy_difference(column & predicted, column & true, ~everywhere, GRID, 320)
    assert place(hidden, 12.3, 4.3) == UNKNOWN.tolist()


def test_perspective_draws_what_is_near_over_what_is_far():
    labels = np.full(GRID.shape, 8, np.uint8)  # blue vehicle in front, red pedestrian behind
    occupied = np.zeros(GRID.shape, bool)
    occupied[20:22, 10:22, 4:10] = True
    viewpoint = Viewpoint((-15.0, 0.0, 3.0), (10.0, 0.0, 1.0))
    alone = occupancy_perspective(occupied, GRID, labels, (120, 200), viewpoint)
    occupied[26:28, 12:20, 4:8] = True
    labels[26:28] = 7
    both = occupancy_perspective(occupied, GRID, labels, (120, 200), viewpoint)
    assert np.abs(both.astype(int) - alone).max() <= 60  # hidden but for slivers of edges
    assert occupancy_perspective(occupied[::-1], GRID, labels[::-1], (120, 200)).shape == (
        120,
        200,
        3,
    )


def test_perspective_of_an_empty_world_is_the_vehicle_alone():
    picture = occupancy_perspective(np.zeros(GRID.shape, bool), GRID, size=(90, 160))
    red = (picture[..., 0] > 150) & (picture[..., 1] < 120)
    assert 20 < red.sum() < 0.05 * red.size


def test_perspective_has_left_on_the_left():
    k = Viewpoint().image_from_ego(200, 100)
    left, right = (k @ (5.0, y, 0.0, 1.0) for y in (3.0, -3.0))
    assert left[0] / left[2] < right[0] / right[2]
    low, high = (k @ (5.0, 0.0, z, 1.0) for z in (0.0, 3.0))
    assert high[1] / high[2] < low[1] / low[2]


def test_contact_sheet_looks_around():
    images = {
        name: np.full((10, 20, 3), value, np.uint8)
        for value, name in ((10, 'back'), (20, 'front'), (30, 'front_left'), (40, 'roof'))
    }
    sheet = contact_sheet(images, columns=2, tile_width=20, captions=False)
    assert sheet.shape == (24, 44, 3)
    corners = sheet[0, 0, 0], sheet[0, -1, 0], sheet[-1, 0, 0], sheet[-1, -1, 0]
    assert corners == (30, 20, 10, 40)


def test_the_height_legend_has_the_colors_of_the_map():
    legend = height_legend(GRID, width=320)
    states = np.full(GRID.shape, VoxelState.FREE, np.uint8)
    voxel = tuple(GRID.indices((12.2, 4.3, 1.75))[0])
    states[voxel] = VoxelState.OCCUPIED
    drawn = place(occupancy_from_above(states, GRID, size=320), 12.3, 4.3)
    fraction = (GRID.axis_centers(2)[voxel[2]] - GRID.minimum_m[2]) / 6.0
    shown = legend[10, 12 + int(fraction * 296)]
    assert np.abs(shown.astype(int) - drawn).max() < 12


def test_the_theme_colors_what_lies_behind_the_data():
    empty = np.full(GRID.shape, VoxelState.FREE, np.uint8)
    empty[0, 0] = VoxelState.UNKNOWN
    above = occupancy_from_above(empty, GRID, size=320, theme=DARK)
    assert place(above, 12.3, 4.3) == DARK.background.tolist()
    assert place(above, -15.7, -15.7) == DARK.unknown.tolist()
    perspective = occupancy_perspective(empty == 1, GRID, size=(90, 160), theme=DARK)
    np.testing.assert_array_equal(perspective[0, 0], DARK.sky_top)
    unlit = depth_in_image(np.ones((1, 1), np.float32), np.eye(3), (4, 4), DARK)
    np.testing.assert_array_equal(unlit[3, 3], DARK.background)
