from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selfocc_core.evaluation.occupancy import OccupancyScores, OccupancyTruth
from selfocc_core.evaluation.ray_casting import far_sides, first_hits, walk
from selfocc_core.evaluation.ray_iou import RayIou, TrueHits, ray_directions, ray_origins
from selfocc_core.evaluation.semantic_iou import SemanticClasses
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
    return score.summary()


def test_a_wall_counts_where_it_is_near_enough():
    assert set(ray_iou(ring(10), truth_of(ring(10))).values()) == {1.0}
    off = ray_iou(ring(11.5), truth_of(ring(10)))
    assert off['ray_iou_1m'] < 0.05
    assert off['ray_iou_2m'] > 0.85  # rays end behind voxels, and corners stick out
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


def slow_walk(origin, direction, reach):
    """Return voxels with the stretch of the ray in each: every face is cut, then pieces named."""
    cuts = {0.0, reach}
    for axis in range(3):
        for face in np.linspace(GRID.minimum_m[axis], GRID.maximum_m[axis], GRID.shape[axis] + 1):
            if direction[axis]:
                cuts.add(min(max((face - origin[axis]) / direction[axis], 0.0), reach))
    ordered, found = sorted(cuts), {}
    for start, end in pairwise(ordered):
        ijk, inside = GRID.indices(origin + direction * (start + end) / 2)
        if inside and end - start > 1e-9:
            found[tuple(ijk.tolist())] = (start, end)
    return found


@settings(max_examples=200)
@given(
    st.tuples(st.floats(-7, 7), st.floats(-7, 7), st.floats(-4, 4)),
    st.tuples(coordinates, coordinates, coordinates).filter(any),
    st.floats(0.1, 12),
)
def test_walking_crosses_what_cutting_finds(origin, direction, reach):
    """Origins inside and outside of the grid, rays along axes too."""
    origin, direction = np.array(origin), np.array(direction)
    crossed = {}
    for step in walk(GRID, origin, direction[None], reach):
        if step.left[0] - step.entered[0] > 1e-9:
            voxel = np.unravel_index(step.voxel[0], GRID.shape)
            crossed[tuple(int(i) for i in voxel)] = (step.entered[0], step.left[0])
    expected = slow_walk(origin, direction, reach)
    assert crossed.keys() == expected.keys()
    for voxel, stretch in crossed.items():
        assert stretch == pytest.approx(expected[voxel], abs=1e-6)


def test_rays_of_their_own_origins_and_opaque_voxels():
    opaque = np.zeros(GRID.shape, bool)
    opaque[4] = True  # x from 0 to 1
    origins = np.array([[-3.5, 0.1, 0.1], [3.5, 0.1, 0.1], [-9.0, 0.1, 0.1]])
    directions = np.array([[1.0, 0, 0], [-1.0, 0, 0], [1.0, 0, 0]])
    crossed = {0: [], 1: [], 2: []}
    for step in walk(GRID, origins, directions, opaque=opaque):
        for ray, voxel in zip(step.ray, step.voxel, strict=True):
            crossed[int(ray)].append(int(np.unravel_index(voxel, GRID.shape)[0]))
    assert crossed == {0: [0, 1, 2, 3, 4], 1: [7, 6, 5, 4], 2: [0, 1, 2, 3, 4]}
    distance, _ = first_hits(opaque, GRID, origins, directions)
    np.testing.assert_allclose(distance, [3.5, 2.5, 9.0])
    far = far_sides(np.array([[4, 8, 2]] * 3), GRID, origins, directions)
    np.testing.assert_allclose(far, [4.5, 3.5, 10.0])


def test_classes_of_rays_by_hand():
    """One ray a degree; the class is that of what is met, and what is met must be near."""
    classes = SemanticClasses(('others', 'wall', 'tree'), others='others')
    azimuth = np.arctan2(HALL.centers()[..., 1], HALL.centers()[..., 0])
    wall = ring(10) & (azimuth > 0)
    tree = ring(10) & (azimuth < 0)
    labels = np.where(tree, 2, 1).astype(np.uint8)
    hits = TrueHits.of_labels(labels, wall | tree, HALL, ORIGIN)
    score = RayIou(classes)
    # Half of the trees are said to be wall.
    said = np.where(tree & (azimuth > -np.pi / 2), 1, labels).astype(np.uint8)
    score.add(wall | tree, hits, said)
    summary = score.summary()
    met_wall, met_tree = (int((hits.label == label).sum()) for label in (1, 2))
    bearing = np.arctan2(hits.directions[:, 1], hits.directions[:, 0])
    wrong = int(((hits.label == 2) & (bearing > -np.pi / 2)).sum())
    assert summary['per_class']['others'] is None
    assert summary['per_class']['wall'] == pytest.approx(met_wall / (met_wall + wrong), abs=0.01)
    assert summary['per_class']['tree'] == pytest.approx(1 - wrong / met_tree, abs=0.02)
    mean = (summary['per_class']['wall'] + summary['per_class']['tree']) / 2
    assert summary['ray_iou'] == summary['conventions']['all'] == pytest.approx(mean)


def test_rays_start_where_the_lidar_was_and_at_most_at_eight_places():
    poses = np.tile(np.eye(4), (30, 1, 1))
    poses[:, 0, 3] = np.arange(30) * 2.0
    lidar = np.eye(4)
    lidar[:3, 3] = 1.0, 0.0, 1.8
    origins = ray_origins(poses[10], poses, lidar, HALL)
    # Within 15 m of the centre: from x = -13 to 13, which is 14 places.
    within = np.arange(-13.0, 14.0, 2.0)
    expected = [within[i] for i in (0, 2, 4, 6, 7, 9, 11, 13)]
    np.testing.assert_allclose(origins[:, 0], expected)
    np.testing.assert_allclose(origins[:, 1:], [[0.0, 1.8]] * 8)
    few = ray_origins(poses[0], poses[:3], lidar, HALL)
    np.testing.assert_allclose(few[:, 0], [1, 3, 5])
