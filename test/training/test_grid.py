from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfocc_core.errors import SelfOccError
from training.grid import Axis, NodeGrid


@st.composite
def axes(draw) -> Axis:
    inner_cells, outer_cells = draw(st.integers(1, 12)), draw(st.integers(0, 8))
    cell_m = draw(st.floats(0.1, 2.0))
    growth = draw(st.sampled_from(['none', 'linear']))
    stretch = draw(st.floats(1.0, 5.0))
    return Axis(
        inner_cells=inner_cells,
        inner_m=inner_cells * cell_m,
        outer_cells=outer_cells,
        outer_m=outer_cells * cell_m * stretch,
        start_m=draw(st.floats(-5, 5)),
        symmetric=draw(st.booleans()),
        outer_growth=growth,
    )


@settings(max_examples=200)
@given(axes(), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_metres_and_indices_round_trip(axis, shares):
    index = torch.tensor(shares, dtype=torch.float64) * (axis.nodes - 1)
    metres = axis.metres_of(index)
    torch.testing.assert_close(axis.index_of(metres), index, atol=1e-6, rtol=1e-6)
    assert (metres >= axis.low_m - 1e-9).all()
    assert (metres <= axis.high_m + 1e-9).all()


@settings(max_examples=100)
@given(axes())
def test_nodes_grow_and_reach_both_ends(axis):
    nodes = axis.node_coordinates().double()
    assert len(nodes) == axis.nodes
    assert (nodes.diff() > 0).all()
    ends = torch.tensor([axis.low_m, axis.high_m], dtype=torch.float64)
    torch.testing.assert_close(nodes[[0, -1]], ends, atol=1e-4, rtol=1e-5)


LINEAR = {'outer_growth': 'linear'}


def test_outer_cells_grow_by_the_same_amount():
    axis = Axis(4, 4.0, 3, 9.0, symmetric=False, outer_growth='linear')
    torch.testing.assert_close(axis.node_coordinates().diff(), torch.tensor([1.0] * 4 + [2, 3, 4]))


def test_outer_cells_of_one_length():
    axis = Axis(2, 2.0, 2, 6.0, symmetric=True)
    expected = torch.tensor([3.0, 3, 1, 1, 1, 1, 3, 3])
    torch.testing.assert_close(axis.node_coordinates().diff(), expected)


@settings(max_examples=50)
@given(axes(), axes(), axes())
def test_a_grid_round_trips_its_nodes(x, y, z):
    grid = NodeGrid(x, y, z)
    unit = grid.to_unit(grid.node_positions().double())
    for i, (dimension, axis) in enumerate(zip((1, 0, 2), (x, y, z), strict=True)):
        along = unit.movedim(dimension, 0)[:, 0, 0, i]
        expected = torch.linspace(-1, 1, axis.nodes, dtype=torch.float64)
        torch.testing.assert_close(along, expected, atol=1e-4, rtol=0)


def test_a_box_has_a_node_in_each_corner():
    grid = NodeGrid.box((-1.0, -2.0, 0.0), (1.0, 2.0, 3.0), (3, 5, 4))
    positions = grid.node_positions()
    assert positions.shape == (5, 3, 4, 3)
    assert positions[0, 0, 0].tolist() == [-1, -2, 0]
    assert positions[-1, -1, -1].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    'grid',
    [
        NodeGrid.box((0.0, 0.0, -2.0), (1.0, 1.0, 4.4), (2, 2, 9)),
        NodeGrid(Axis(4, 2.0, 3, 6.0), Axis(2, 1.0, 2, 5.0, symmetric=False)),
    ],
)
def test_subdividing_keeps_the_old_nodes(grid):
    finer = grid.subdivided(3, 2)
    x, y, z = grid.nodes
    assert finer.nodes == (3 * (x - 1) + 1, 3 * (y - 1) + 1, 2 * (z - 1) + 1)
    torch.testing.assert_close(finer.node_positions()[::3, ::3, ::2], grid.node_positions())


def test_an_axis_whose_cells_grow_is_not_subdivided():
    with pytest.raises(SelfOccError, match='grow'):
        Axis(4, 2.0, 3, 6.0, outer_growth='linear').subdivided(2)


@pytest.mark.parametrize(
    'wrong',
    [
        {'inner_cells': 0, 'inner_m': 1.0},
        {'inner_cells': 2, 'inner_m': 2.0, 'outer_cells': 2},
        {'inner_cells': 2, 'inner_m': 2.0, 'outer_cells': 3, 'outer_m': 1.0, **LINEAR},
    ],
)  # fmt: skip
def test_impossible_axes_are_refused(wrong):
    with pytest.raises(SelfOccError):
        Axis(**wrong)
