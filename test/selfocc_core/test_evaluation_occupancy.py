from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from handmade_drive import BUILDING, ROAD, rig
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.occupancy import (
    Confusion,
    OccupancyScores,
    OccupancyTruth,
    camera_views,
    flat_ground_occupancy,
    height_above_ground,
    occupied_voxels,
    rings,
)
from selfocc_core.voxels import VoxelGrid

GRID = VoxelGrid((-24.0, -24.0, -2.0), (24.0, 24.0, 2.0), (12, 12, 4))
voxels = arrays(bool, (12, 12, 4))


def truth_of(occupied, visible=None, ground=None) -> OccupancyTruth:
    everywhere = np.ones(GRID.shape, bool)
    nowhere = np.zeros(GRID.shape, bool)
    return OccupancyTruth(
        occupied, everywhere if visible is None else visible, nowhere if ground is None else ground
    )


@given(voxels, voxels, voxels)
def test_counts_agree_with_sets(predicted, true, domain):
    confusion = Confusion.of(predicted, true, domain)
    a = set(zip(*np.nonzero(predicted & domain), strict=True))
    b = set(zip(*np.nonzero(true & domain), strict=True))
    assert confusion == Confusion(len(a & b), len(a - b), len(b - a))
    if a | b:
        assert confusion.ratios()['iou'] == pytest.approx(len(a & b) / len(a | b))


def test_nothing_to_score_is_none_not_zero():
    assert Confusion().ratios() == {'iou': None, 'precision': None, 'recall': None}
    assert Confusion(0, 0, 5).ratios() == {'iou': 0.0, 'precision': None, 'recall': 0.0}


def test_counts_are_accumulated_before_the_ratio():
    scores, predicted = OccupancyScores(GRID), np.zeros(GRID.shape, bool)
    predicted[0, 0, 0] = True
    scores.add(predicted, truth_of(predicted))  # 1 of 1
    many = np.zeros(GRID.shape, bool)
    many[:3, 0, :3] = True
    scores.add(predicted, truth_of(many))  # 1 of 9
    assert scores.summary()['iou'] == pytest.approx(2 / 10)
    assert scores.summary()['moments'] == 2


@given(voxels, voxels, voxels)
def test_what_no_camera_sees_does_not_count(predicted, true, visible):
    scores, blind = OccupancyScores(GRID), OccupancyScores(GRID)
    scores.add(predicted, truth_of(true, visible))
    blind.add(predicted & visible, truth_of(true & visible, visible))
    assert scores.summary() == blind.summary()


@given(voxels, voxels)
def test_rings_partition_the_grid(predicted, true):
    parts = [Confusion.of(predicted, true, ring) for ring in rings(GRID).values()]
    whole = Confusion.of(predicted, true, np.ones(GRID.shape, bool))
    assert np.sum([astuple(part) for part in parts], 0).tolist() == list(astuple(whole))


def test_rings_are_where_they_say():
    scores, true = OccupancyScores(GRID), np.zeros(GRID.shape, bool)
    true[tuple(GRID.indices((15.0, 1.0, 0.0))[0])] = True
    scores.add(true, truth_of(true))
    by_range = scores.summary()['by_range']
    assert list(by_range) == ['0-10 m', '10-20 m', '20+ m']
    assert [ring['iou'] for ring in by_range.values()] == [None, 1.0, None]


def scene():
    """Ground in layer 1, an obstacle in the layers 2 and 3 of one column."""
    ground, occupied = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    ground[:, :, 1] = True
    occupied[:, :, 1] = True
    occupied[6, 6, 2:] = True
    return truth_of(occupied, ground=ground)


def test_a_thick_or_shifted_ground_is_no_invented_obstacle():
    scores, predicted = OccupancyScores(GRID), np.zeros(GRID.shape, bool)
    predicted[:, :, :3] = True
    scores.add(predicted, scene())
    assert scores.summary()['obstacles'] == {'iou': 0.5, 'precision': 1.0, 'recall': 0.5}


def test_what_floats_above_the_ground_is_an_invented_obstacle():
    scores, predicted = OccupancyScores(GRID), np.zeros(GRID.shape, bool)
    predicted[6, 6, 2:] = True
    predicted[0, 0, 3] = True
    scores.add(predicted, scene())
    assert scores.summary()['obstacles']['precision'] == pytest.approx(2 / 3)
    assert scores.summary()['obstacles']['recall'] == 1.0


def test_height_is_above_the_highest_ground_of_the_column_or_of_the_nearest():
    ground = np.zeros(GRID.shape, bool)
    ground[:6, :, 0] = True
    ground[8, :, 1] = True
    height_m = height_above_ground(ground, GRID)
    np.testing.assert_allclose(height_m[0, 3], [-0.5, 0.5, 1.5, 2.5])
    np.testing.assert_allclose(height_m[6, 3], [-0.5, 0.5, 1.5, 2.5])
    for x in (7, 8, 11):
        np.testing.assert_allclose(height_m[x, 3], [-1.5, -0.5, 0.5, 1.5])
    nowhere = height_above_ground(np.zeros(GRID.shape, bool), GRID)
    np.testing.assert_allclose(nowhere, GRID.centers()[..., 2])


def test_obstacles_are_scored_by_height():
    """One voxel above the ground, in the layers 2 and 3: half a metre and one and a half."""
    scores, predicted = OccupancyScores(GRID), np.zeros(GRID.shape, bool)
    predicted[6, 6, 2] = True
    predicted[0, 0, 3] = True
    scores.add(predicted, scene())
    by_height = {name: s['obstacles'] for name, s in scores.summary()['by_height'].items()}
    assert list(by_height) == ['0-0.8 m', '0.8-1.6 m', '1.6-2.4 m', '2.4+ m']
    assert by_height['0-0.8 m'] == {'iou': 1.0, 'precision': 1.0, 'recall': 1.0}
    assert by_height['0.8-1.6 m'] == {'iou': 0.0, 'precision': 0.0, 'recall': 0.0}
    assert by_height['2.4+ m'] == {'iou': None, 'precision': None, 'recall': None}


def test_flat_ground_is_everything_below_zero():
    baseline = flat_ground_occupancy(GRID)
    np.testing.assert_array_equal(baseline, GRID.centers()[..., 2] < 0)


def test_truth_from_a_cloud():
    points = np.array([[0.5, 0.5, 0.5], [0.9, 0.9, 0.9], [20, 0, -1.5], [99, 0, 0]], np.float32)
    fields = {
        **dict(zip('xyz', points.T, strict=True)),
        'state': np.array([0, 1, 1, 1], np.uint8),
        'label': np.array([0, BUILDING, ROAD, ROAD], np.uint8),
        'visible': np.array([1, 0, 1, 1], np.uint8),
    }
    truth = OccupancyTruth.from_points(fields, GRID)
    assert truth.occupied.sum() == 2  # the one outside is left out, two share a voxel
    assert truth.ground.sum() == truth.obstacles.sum() == 1
    assert truth.visible.sum() == 2
    del fields['visible']
    with pytest.raises(SelfOccError, match='no field visible'):
        OccupancyTruth.from_points(fields, GRID)


@given(st.lists(st.tuples(*[st.floats(-30, 30)] * 3), max_size=20))
def test_occupied_voxels_are_those_with_a_point(points):
    occupied = occupied_voxels(np.array(points).reshape(-1, 3), GRID)
    expected = {tuple(GRID.indices(p)[0]) for p in points if GRID.indices(p)[1]}
    assert set(zip(*np.nonzero(occupied), strict=True)) == expected


def test_what_a_camera_sees_is_scored_by_itself():
    """Ahead everything is right, behind nothing is."""
    true = np.ones(GRID.shape, bool)
    predicted = GRID.centers()[..., 0] > 0
    scores = OccupancyScores(GRID)
    scores.add(predicted, truth_of(true), camera_views(GRID, rig()))
    by_camera = {
        name: of_camera['iou'] for name, of_camera in scores.summary()['by_region'].items()
    }
    assert set(by_camera) == set(rig().names)
    assert (by_camera['front'], by_camera['back']) == (1.0, 0.0)
    assert 0 < by_camera['back_left'] < 1


def test_a_camera_sees_the_voxels_whose_centre_is_in_its_image():
    view, camera = camera_views(GRID, rig())['front'], rig()['front']
    for index in np.ndindex(GRID.shape):
        center = [GRID.axis_centers(axis)[index[axis]] for axis in range(3)]
        x, y, z = (np.linalg.inv(camera.ego_from_camera) @ [*center, 1])[:3]
        k = camera.image_from_camera
        in_image = z > 0.1 and (
            -0.5 <= k[0, 0] * x / z + k[0, 2] <= 63.5 and -0.5 <= k[1, 1] * y / z + k[1, 2] <= 35.5
        )
        assert view[index] == in_image


def test_centres_of_another_grid_on_our_borders_leave_no_layer_out():
    """Occ3D has a centre every 0.4 m from -0.8 m, where the generated worlds have borders."""
    grid = VoxelGrid((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (128, 128, 16))
    z = (-0.8 + 0.4 * np.arange(13)).astype(np.float32)
    fields = {
        'x': np.zeros_like(z), 'y': np.zeros_like(z), 'z': z, 'state': np.ones(len(z), np.uint8),
        'label': np.zeros(len(z), np.uint8), 'visible': np.ones(len(z), np.uint8),
    }  # fmt: skip
    column = OccupancyTruth.from_points(fields, grid).occupied.any((0, 1))
    assert column.tolist() == [False] * 2 + [True] * 13 + [False]
