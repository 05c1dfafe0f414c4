from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selfocc_core.evaluation.occupancy import OccupancyScores, OccupancyTruth
from selfocc_core.evaluation.ray_casting import first_hits
from selfocc_core.evaluation.ray_iou import RayIou, TrueHits, ray_directions
from selfocc_core.voxels import VoxelGrid

GRID = VoxelGrid((-4.0, -4.0, -2.0), (4.0, 4.0, 2.0), (8, 16, 4))
HALL = VoxelGrid((-16.0, -16.0, -2.0), (16.0, 16.0, 4.0), (64, 64, 12))
ORIGIN = np.array([0.1, 0.2, 1.8])

coordinates = st.floats(-1, 1).map(lambda value: round(value, 3))


@settings(max_examples=50)
@given(
    arrays(bool, GRID.shape, elements=st.booleans()),
    st.tuples(st.floats(-3.9, 3.9), st.floats(-3.9, 3.9), st.floats(-1.9, 1.9)),
    st.tuples(coordinates, coordinates, coordinates).filter(any),
)
def test_first_hit_is_where_small_steps_find_it(occupied, origin, direction):
    origin, direction = np.array(origin), np.array(direction)
    occupied &= np.arange(occupied.size).reshape(occupied.shape) % 5 == 0
    (distance,), (voxel,) = first_hits(occupied, GRID, origin, direction[None])
    step = 2e-3 / np.abs(direction).max()
    walked = np.arange(0, 8.5 / np.abs(direction).max(), step)
    ijk, inside = GRID.indices(origin + walked[:, None] * direction)
    met = inside & occupied[tuple(ijk.T)]
    if np.isfinite(distance):
        # A corner may be cut between two steps, but nothing is found before the first hit.
        assert occupied[tuple(voxel)]
        entry, _ = GRID.indices(origin + (distance + 1e-9) * direction)
        assert np.abs(entry - voxel).max() <= 1
        assert not met[walked < distance - step].any()
    else:
        assert not met.any()
        assert (voxel == -1).all()


def test_along_an_axis():
    occupied = np.zeros(GRID.shape, bool)
    occupied[6] = True  # x from 2 to 3
    directions = np.array([[1.0, 0, 0], [2.0, 0, 0], [-1.0, 0, 0], [0, 0, 1.0]])
    distance, voxel = first_hits(occupied, GRID, np.array([0.5, 0.1, 0.1]), directions)
    np.testing.assert_allclose(distance, [1.5, 0.75, np.inf, np.inf])
    np.testing.assert_array_equal(voxel[0], [6, 8, 2])


def test_rays_that_start_outside_or_inside_something():
    full = np.ones(GRID.shape, bool)
    ahead = np.array([[1.0, 0, 0]])
    assert first_hits(full, GRID, np.array([9.0, 0, 0]), ahead)[0] == np.inf
    assert first_hits(full, GRID, np.array([1.0, 0, 0]), ahead)[0] == 0


def test_rays_meet_level_ground_at_multiples_of_the_height():
    rays = ray_directions().reshape(-1, 360, 3)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1)
    reach = np.hypot(rays[..., 0], rays[..., 1])[:10, 0] / -rays[:10, 0, 2]
    np.testing.assert_allclose(reach, np.arange(1, 11))
    assert 0.21 <= np.arcsin(rays[-1, 0, 2]) < 0.23


def ring(radius_m):
    centers = HALL.centers()
    return np.abs(np.hypot(centers[..., 0], centers[..., 1]) - radius_m) < 0.4


def truth_of(occupied, visible=None):
    everywhere, nowhere = np.ones(HALL.shape, bool), np.zeros(HALL.shape, bool)
    return OccupancyTruth(occupied, everywhere if visible is None else visible, nowhere)


def ray_iou(predicted, truth):
    score = RayIou()
    score.add(predicted, TrueHits.of(truth, HALL, ORIGIN))
    return score.values()


def test_a_wall_counts_where_it_is_near_enough():
    assert set(ray_iou(ring(10), truth_of(ring(10))).values()) == {1.0}
    off = ray_iou(ring(11.5), truth_of(ring(10)))
    assert off['ray_iou_1m'] < 0.05
    assert off['ray_iou_2m'] > 0.9
    assert off['ray_iou_4m'] > 0.9
    assert off['ray_iou'] == pytest.approx(np.mean([off[f'ray_iou_{m}m'] for m in (1, 2, 4)]))


def test_rays_into_the_open():
    truth = truth_of(ring(10) & (HALL.centers()[..., 0] > 0))
    # Invented things on rays that meet nothing in the truth are not punished, as in SparseOcc.
    assert ray_iou(ring(10), truth)['ray_iou'] == 1.0
    # Half of the true hits found: TP / (true + predicted - TP).
    quarter = truth.occupied & (HALL.centers()[..., 1] > 0.2)
    assert ray_iou(quarter, truth)['ray_iou'] == pytest.approx(0.5, abs=0.05)
    assert ray_iou(np.zeros(HALL.shape, bool), truth)['ray_iou'] == 0.0


def test_only_rays_that_end_where_a_camera_sees():
    wall = ring(10)
    ahead = HALL.centers()[..., 0] > 0
    assert ray_iou(wall & ahead, truth_of(wall, visible=ahead))['ray_iou'] == 1.0
    unseen = ray_iou(wall, truth_of(wall, visible=np.zeros(HALL.shape, bool)))
    assert set(unseen.values()) == {None}


def test_rings_may_be_chosen_and_overlap():
    scores = OccupancyScores(HALL, ((0.0, 5.0), (0.0, 12.8)))
    scores.add(ring(10), truth_of(ring(10)))
    by_range = scores.summary()['by_range']
    assert by_range['0-5 m']['iou'] is None
    assert by_range['0-12.8 m']['iou'] == 1.0
