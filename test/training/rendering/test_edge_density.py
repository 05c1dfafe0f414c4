from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.field import Field
from training.grid import NodeGrid
from training.rendering.density import density_of
from training.rendering.edge_density import density_to_weights, opacity_over
from training.rendering.edge_render import render_edges
from training.rendering.rays import Rays, log_spaced_distances

GRID = NodeGrid.box((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (65, 65, 17))


def field_of(values) -> Field:
    nodes = GRID.node_positions()
    return Field(torch.cat([values(nodes)[None], torch.zeros(3, *nodes.shape[:3])]), GRID)


@settings(max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.floats(1.0, 60.0))
def test_weights_and_background_sum_to_one(values, sharpness):
    values = torch.tensor([values])
    distances = log_spaced_distances(0.8, 45.0, values.shape[1])
    within = torch.ones_like(values, dtype=torch.bool)
    weights, background = density_to_weights(values, within, distances, sharpness)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum() + background[0], torch.tensor(1.0))


def test_even_fog_dims_with_the_distance_alone():
    """Beer-Lambert, whatever the samples, the first metre before them included."""
    distances = torch.tensor([[1.0, 1.5, 4.0, 5.0]])
    values = torch.full((1, 4), 0.3)
    density = float(density_of(values, 2.0)[0, 0])
    weights, background = density_to_weights(
        values, torch.ones(1, 4, dtype=torch.bool), distances, 2.0
    )
    assert float(background) == pytest.approx(math.exp(-5 * density), rel=1e-5)
    assert float(weights[0, 0]) == pytest.approx(1 - math.exp(-density), rel=1e-5)


def test_outside_of_the_volume_is_empty():
    within = torch.tensor([[True, True, False, False]])
    weights, _ = density_to_weights(
        torch.full((1, 4), -0.1), within, torch.tensor([1.0, 2.0, 3.0, 4.0]), 1.0
    )
    assert (weights[0, 2:] == 0).all()
    assert (weights[0, :2] > 0).all()


def test_opacity_over_a_length():
    values = torch.tensor([-10.0, 0.0, 10.0])
    expected = [1 - math.exp(-200 * 0.4), 1 - math.exp(-math.log(2) * 0.4), 0.0]
    torch.testing.assert_close(opacity_over(values, 0.4, 20.0), torch.tensor(expected))


def test_a_dense_wall_is_rendered_at_its_distance():
    field = field_of(lambda nodes: 9.0 - nodes[..., 0])
    rays = Rays(torch.tensor([[0.0, 0.0, 1.5]]), torch.tensor([[1.0, 0.2, 0.0]]))
    distances = log_spaced_distances(0.8, 45.0, 128)[None]
    rendering = render_edges(field, rays, distances, 40.0, 'density')
    assert abs(float(rendering.depth) - 9.0) < 0.4
    assert float(rendering.background) < 0.01


def test_rays_that_leave_through_the_floor_meet_ground():
    field = field_of(lambda nodes: torch.full(nodes.shape[:3], 1.0))
    rays = Rays(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[1.0, 0.0, -0.3]]))
    rendering = render_edges(
        field, rays, log_spaced_distances(0.8, 45.0, 96)[None], 40.0, 'density'
    )
    assert float(rendering.background) < 0.05
    assert abs(float(rendering.points[0, rendering.weights[0].argmax(), 2]) + 2.0) < 0.6
