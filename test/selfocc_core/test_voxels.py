from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from selfocc_core.voxels import VoxelGrid, VoxelState, height_band

GRID = VoxelGrid((-8.0, -6.0, -1.0), (8.0, 6.0, 3.0), (20, 15, 10))


def test_every_centre_lies_in_its_own_voxel():
    ijk, inside = GRID.indices(GRID.centers())
    assert inside.all()
    expected = np.stack(np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing='ij'), -1)
    np.testing.assert_array_equal(ijk, expected)


@given(st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(-5, 5)))
def test_a_point_is_at_most_half_a_voxel_from_its_centre(point):
    ijk, inside = GRID.indices(point)
    really_inside = all(
        low <= value < high
        for low, value, high in zip(GRID.minimum_m, point, GRID.maximum_m, strict=True)
    )
    if inside:
        center = GRID.centers()[tuple(ijk)]
        assert (np.abs(center - point) <= GRID.voxel_size_m / 2 + 1e-9).all()
    edges = np.concatenate([GRID.minimum_m, GRID.maximum_m])
    if np.abs(np.tile(point, 2) - edges).min() > 1e-6:
        assert bool(inside) == really_inside
    assert ((ijk >= 0) & (ijk < GRID.shape)).all()


def test_what_is_not_a_number_is_outside():
    _, inside = GRID.indices([[np.nan, 0, 0], [np.inf, 0, 0], [0, 0, 0]])
    assert inside.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ('minimum', 'maximum', 'shape'),
    [
        ((0, 0, 0), (1, 1, 0), (2, 2, 2)),
        ((0, 0, 0), (1, 1, 1), (0, 2, 2)),
        ((0, 0, 0), (1, 1, 1), (9999, 9999, 99)),
    ],
)
def test_impossible_grids_are_refused(minimum, maximum, shape):
    with pytest.raises(SelfOccError, match='voxel grid'):
        VoxelGrid(minimum, maximum, shape)


def test_visible_is_what_projects_into_an_image():
    front = nuscenes_like_rig(160, 90)['front']
    visible = GRID.visible_from(front.image_from_ego[None], (90, 160))
    centers = GRID.centers()
    assert visible.any()
    assert (centers[visible][:, 0] > 1.7).all()  # nothing behind the camera
    for center, seen in zip(centers.reshape(-1, 3)[::37], visible.reshape(-1)[::37], strict=True):
        u, v, depth = front.image_from_ego @ np.append(center, 1.0)
        in_image = depth > 0.1 and -0.5 <= u / depth <= 159.5 and -0.5 <= v / depth <= 89.5
        assert seen == in_image


def test_no_camera_sees_nothing():
    assert not GRID.visible_from(np.empty((0, 3, 4)), (90, 160)).any()


def test_height_band_knows_free_occupied_and_unknown():
    states = np.full(GRID.shape, VoxelState.FREE, np.uint8)
    states[0] = VoxelState.UNKNOWN
    states[1, 0, 4] = VoxelState.OCCUPIED  # centre at 0.8 m
    states[2, 0, 9] = VoxelState.OCCUPIED  # centre at 2.8 m, above the band
    states[3, 0, :5] = VoxelState.UNKNOWN  # nobody sees what is low, as just before the bumper
    band = height_band(states, GRID, 0.2, 2.0)
    assert (band[0] == -1).all()
    assert (band[1, 0], band[2, 0], band[3, 0], band[5, 5]) == (100, 0, -1, 0)
    with pytest.raises(SelfOccError, match='no voxel lies between'):
        height_band(states, GRID, 9.0, 10.0)
