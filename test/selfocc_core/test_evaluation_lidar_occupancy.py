from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.lidar_occupancy import Sweep, lidar_occupancy
from selfocc_core.voxels import VoxelGrid, VoxelState

GRID = VoxelGrid((-4.0, -4.0, -1.0), (4.0, 4.0, 3.0), (16, 16, 8))
STREET = VoxelGrid((-16.0, -8.0, -0.8), (16.0, 8.0, 3.2), (80, 40, 10))  # 0.4 m
GROUND_M = -0.13
SENSOR = np.array([0.1, 0.2, 1.3])
FREE, OCCUPIED, UNKNOWN = VoxelState

points = arrays(
    float,
    st.tuples(st.integers(0, 25), st.just(3)),
    elements=st.floats(-5, 5).map(lambda x: round(x, 2)),
)


def sweep(ends, stamp_ns=0, origin=SENSOR):
    return Sweep.at(stamp_ns, origin, ends)


def visited(end, origin=SENSOR, grid=GRID):
    """Return the voxels that small steps along a ray find, and the one where it ends."""
    steps = np.linspace(0, 1, 4001)[:-1, None]
    ijk, inside = grid.indices(origin + steps * (end - origin))
    last, ends_inside = grid.indices(end)
    passed = {tuple(v) for v in ijk[inside].tolist()}
    return passed, tuple(last.tolist()) if ends_inside else None


@settings(max_examples=40)
@given(points)
def test_one_sweep_says_what_its_rays_say(ends):
    states = lidar_occupancy([sweep(ends)], 0, GRID).states
    hits, passed = set(), set()
    for end in ends:
        on_the_way, last = visited(end)
        hits.add(last)
        passed |= on_the_way
    hits.discard(None)
    assert {tuple(v) for v in np.argwhere(states == OCCUPIED).tolist()} == hits
    # Nothing is known where no ray went; steps of 2 mm may miss a corner.
    for voxel in np.argwhere(states == FREE).tolist():
        assert tuple(voxel) in passed or corner_cut(ends, voxel)
    # Between sensor and hit, nothing is occupied unless something else was hit there.
    for voxel in passed - hits:
        assert states[voxel] != OCCUPIED


def corner_cut(ends, voxel):
    center = np.array([GRID.axis_centers(axis)[voxel[axis]] for axis in range(3)])
    steps = np.linspace(0, 1, 4001)[:, None]
    nearest = [np.abs(SENSOR + steps * (end - SENSOR) - center).max(1).min() for end in ends]
    return min(nearest) < 0.25 + 2e-3


@settings(max_examples=40)
@given(points, points, st.data())
def test_splitting_and_order_change_nothing(one, other, data):
    elsewhere = np.array([1.1, -0.4, 1.6])
    whole = lidar_occupancy([sweep(one), sweep(other, 5, elsewhere)], 0, GRID)
    cut = data.draw(st.integers(0, len(other)))
    parts = [
        sweep(other[:cut], 5, elsewhere),
        sweep(one),
        sweep(other[cut:][::-1], 5, elsewhere),
    ]
    split = lidar_occupancy(data.draw(st.permutations(parts)), 0, GRID)
    np.testing.assert_array_equal(split.states, whole.states)
    np.testing.assert_array_equal(split.moving, whole.moving)


@given(points, points)
def test_what_the_sweep_of_the_moment_hits_is_occupied(now, later):
    states = lidar_occupancy([sweep(now), sweep(later, 5)], 0, GRID).states
    ijk, inside = GRID.indices(now)
    assert (states[tuple(ijk[inside].T)] == OCCUPIED).all()


def test_a_voxel_seen_through_at_another_time_is_not_static():
    hit, beyond = np.array([[2.1, 0.2, 1.45], [2.1, 0.2, 1.05]]), np.array([[3.9, 0.2, 0.9]])
    voxel = tuple(GRID.indices(hit[0])[0])
    told = lidar_occupancy([sweep(beyond), sweep(hit, 5)], 0, GRID)
    assert told.states[voxel] == FREE
    assert not told.moving.any()
    # It is the sweep of the moment that hits it: then it is there, and it moves.
    told = lidar_occupancy([sweep(hit), sweep(beyond, 5)], 0, GRID)
    assert told.states[voxel] == OCCUPIED
    assert np.argwhere(told.moving).tolist() == [list(voxel)]
    # What is behind it at the moment, nobody knows, though the other sweep crossed it.
    behind = tuple(GRID.indices((3.2, 0.2, 0.9))[0])
    assert told.states[behind] == UNKNOWN
    # Two sweeps that hit it outvote one that does not.
    told = lidar_occupancy([sweep(beyond), sweep(hit, 5), sweep(hit, 6)], 0, GRID)
    assert told.states[voxel] == OCCUPIED


def test_points_that_are_none_and_stamps_that_are_missing():
    ends = np.array([[np.nan, 0, 0], [np.inf, 0, 0], [2.1, 0.2, 1.3]])
    assert (lidar_occupancy([sweep(ends)], 0, GRID).states == OCCUPIED).sum() == 1
    assert (lidar_occupancy([sweep(np.empty((0, 3)))], 0, GRID).states == UNKNOWN).all()
    with pytest.raises(SelfOccError, match='no LiDAR sweep at 7 ns'):
        lidar_occupancy([sweep(ends)], 7, GRID)


class Street:
    """Level ground, a wall on the left, and a box that stands on the ground."""

    def __init__(self, box_x):
        self.box = np.array([[box_x, -3.0, GROUND_M], [box_x + 1.5, -1.5, 1.5]])

    def scan(self, origin):
        """Return where 32 beams end, by the slab method for the box and division for planes."""
        up, around = np.meshgrid(
            np.radians(np.linspace(-30, 8, 32)), np.radians(np.arange(0, 360, 0.5))
        )
        rays = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], -1)
        rays = rays.reshape(-1, 3)
        with np.errstate(divide='ignore', invalid='ignore'):
            ground = np.where(rays[:, 2] < 0, (GROUND_M - origin[2]) / rays[:, 2], np.inf)
            wall = np.where(rays[:, 1] > 0, (5.13 - origin[1]) / rays[:, 1], np.inf)
            faces = (self.box[:, None] - origin) / rays
        near, far = faces.min(0).max(1), faces.max(0).min(1)
        box = np.where((near < far) & (near > 0), near, np.inf)
        wall_height = origin[2] + rays[:, 2] * wall
        wall = np.where((wall_height < 2.5) & (wall_height > GROUND_M), wall, np.inf)
        distance = np.minimum(np.minimum(ground, wall), box)
        seen = distance < 40
        return origin + rays[seen] * distance[seen, None]


def drive(box_places, ego_step_m=0.35):
    """Sweeps of a vehicle that goes on while the box is elsewhere in each; the middle is now."""
    sweeps = []
    for number, box_x in enumerate(box_places):
        origin = np.array([(number - len(box_places) // 2) * ego_step_m, 0.0, 1.8])
        sweeps.append(Sweep.at(number, origin, Street(box_x).scan(origin)))
    return sweeps, len(box_places) // 2


def box_voxels(box_x):
    centers = STREET.centers()
    low, high = Street(box_x).box
    return ((centers > low - 0.2) & (centers < high + 0.2)).all(-1) & (centers[..., 2] > 0)


def test_a_moved_box_leaves_no_trail():
    """A box as fast as the vehicle's traffic: 1.3 m a sweep."""
    places = [3.0 + 1.3 * (k - 5) for k in range(11)]
    sweeps, now = drive(places)
    told = lidar_occupancy(sweeps, now, STREET)
    on_the_road = (np.abs(STREET.centers()[..., 1] + 2.25) < 1.2) & (STREET.centers()[..., 2] > 0)
    where_it_is = box_voxels(places[now])
    trail = (told.states == OCCUPIED) & on_the_road & ~where_it_is
    naive = lidar_occupancy([Sweep(now, s.origins, s.points) for s in sweeps], now, STREET)
    assert ((naive.states == OCCUPIED) & on_the_road & ~where_it_is).sum() > 100
    assert trail.sum() == 0
    hits = (told.states == OCCUPIED) & where_it_is
    assert hits.sum() > 15
    assert (told.moving & hits).sum() > 0.7 * hits.sum()
    assert not (told.moving & ~where_it_is & on_the_road).any()


def test_a_standing_box_wall_and_ground_stay():
    """Nothing moves but the vehicle: what any sweep hits is static."""
    sweeps, now = drive([3.0] * 11)
    told = lidar_occupancy(sweeps, now, STREET)
    hit = np.zeros(STREET.shape, bool)
    for of_time in sweeps:
        ijk, inside = STREET.indices(of_time.points - 1e-6)  # the box ends on sides of voxels
        hit[tuple(ijk[inside].T)] = True
    centers = STREET.centers()
    ground, wall = centers[..., 2] < 0.0, np.abs(centers[..., 1] - 5.13) < 0.2
    for surface in (ground & (centers[..., 1] < 4.8), wall & (centers[..., 2] < 2.4)):
        assert (told.states[hit & surface] == OCCUPIED).mean() > 0.97
        assert (hit & surface).sum() > 100
    assert told.moving.sum() <= 5


def test_memory_does_not_grow_with_a_sweep(monkeypatch):
    sweeps, now = drive([3.0] * 3)
    whole = lidar_occupancy(sweeps, now, STREET)
    monkeypatch.setattr('selfocc_core.evaluation.lidar_occupancy._RAYS_AT_ONCE', 1000)
    np.testing.assert_array_equal(lidar_occupancy(sweeps, now, STREET).states, whole.states)
