from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selfocc_core.datasets.voxel_truth import VoxelTruth
from selfocc_core.evaluation.occupancy import OccupancyTruth
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.transforms import invert
from selfocc_core.voxels import VoxelGrid

GRID = VoxelGrid((-2.0, -1.5, -1.0), (2.0, 1.5, 1.0), (8, 6, 4))
SHAPE = GRID.shape
truths = st.builds(
    VoxelTruth,
    st.just(GRID),
    arrays(bool, SHAPE),
    arrays(np.uint8, SHAPE, elements=st.integers(0, len(CLASS_NAMES) - 1)),
    arrays(bool, SHAPE),
)


@given(truths)
def test_an_evaluation_reads_what_is_written(truth):
    read = OccupancyTruth.from_points(truth.fields(), GRID)
    assert np.array_equal(read.occupied, truth.occupied)
    assert np.array_equal(read.visible, truth.visible)
    assert np.array_equal(read.labels, np.where(truth.occupied, truth.label, 0))


@given(truths, st.integers(-3, 3), st.integers(-3, 3))
def test_moving_by_whole_voxels_shifts_the_arrays(truth, x, y):
    target_from_source = np.eye(4)
    target_from_source[:3, 3] = 0.5 * x, 0.5 * y, 0.0
    moved = truth.moved(target_from_source)
    for before, after in ((truth.occupied, moved.occupied), (truth.visible, moved.visible)):
        expected = np.roll(before, (x, y), (0, 1))
        expected[: max(x, 0)] = expected[SHAPE[0] + min(x, 0) :] = False
        expected[:, : max(y, 0)] = expected[:, SHAPE[1] + min(y, 0) :] = False
        assert np.array_equal(after, expected)
    back = moved.moved(invert(target_from_source))
    assert not (back.occupied & ~truth.occupied).any()


def test_turning_left_moves_what_is_ahead_to_the_right():
    occupied = np.zeros(SHAPE, bool)
    occupied[7, 2:4] = True  # ahead: x from 1.5 to 2, y from -0.5 to 0.5
    truth = VoxelTruth(GRID, occupied, np.zeros(SHAPE, np.uint8), np.ones(SHAPE, bool))
    turned = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    moved = truth.moved(turned)
    assert not moved.occupied.any()  # beyond the grid, which reaches 1.5 m to the right
    occupied[:] = False
    occupied[5, 3] = True  # x from 0.5 to 1, y from 0 to 0.5
    assert np.argwhere(truth.moved(turned).occupied).tolist() == [[4, 1, z] for z in range(4)]


def test_voxels_that_are_neither_seen_nor_occupied_are_left_out():
    visible = np.zeros(SHAPE, bool)
    visible[0, 0, 0] = True
    truth = VoxelTruth(GRID, visible & False, np.full(SHAPE, 7, np.uint8), visible)
    fields = truth.fields()
    assert {name: values.tolist() for name, values in fields.items()} == {
        'x': [-1.75], 'y': [-1.25], 'z': [-0.75], 'state': [0], 'label': [0], 'visible': [1],
    }  # fmt: skip
    assert {name: values.dtype for name, values in fields.items()}['x'] == np.float32
    assert pytest.approx(-1.75) == fields['x'][0]
