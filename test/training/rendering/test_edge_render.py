from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfocc_core.cameras import nuscenes_like_rig
from training.field import Field
from training.grid import NodeGrid
from training.rendering.edge_render import exit_depth, last_distance, render_edges
from training.rendering.rays import Rays, cast_rays, inverse_3x3, log_spaced_distances
from training.rendering.sampling import extended_sdf, sample_by_gather, sample_volume
from training.rendering.weights import sdf_to_weights

GRID = NodeGrid.box((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (65, 65, 17))


def field_of(sdf) -> Field:
    nodes = GRID.node_positions()
    return Field(torch.cat([sdf(nodes)[None], torch.zeros(3, *nodes.shape[:3])]), GRID)


@settings(max_examples=25)
@given(
    distance_m=st.floats(4.0, 20.0),
    heading=st.floats(-math.pi, math.pi),
    sharpness=st.floats(20.0, 80.0),
)
def test_a_wall_is_rendered_at_its_distance(distance_m, heading, sharpness):
    normal = torch.tensor([math.cos(heading), math.sin(heading), 0.0])
    field = field_of(lambda nodes: distance_m - nodes @ normal)
    rays = Rays(torch.tensor([[0.0, 0.0, 1.5]]), normal[None])
    samples = log_spaced_distances(0.8, 45.0, 96)
    rendering = render_edges(field, rays, samples[None], sharpness)
    bin_m = distance_m * float(samples[1] / samples[0] - 1)
    assert abs(float(rendering.depth) - distance_m) < bin_m + 2 / sharpness
    assert float(rendering.background) < 0.05


def test_a_sphere_is_rendered_at_its_surface():
    center = torch.tensor([10.0, 0.0, 1.0])
    field = field_of(lambda nodes: (nodes - center).norm(dim=-1) - 3.0)
    rays = Rays(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    rendering = render_edges(field, rays, log_spaced_distances(0.8, 45.0, 128)[None], 60.0)
    assert abs(float(rendering.depth) - 7.0) < 0.4


def test_rays_that_leave_through_the_floor_meet_ground():
    field = field_of(lambda nodes: torch.full(nodes.shape[:3], 1.0))
    rays = Rays(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[1.0, 0.0, -0.3]]))
    rendering = render_edges(field, rays, log_spaced_distances(0.8, 45.0, 96)[None], 40.0)
    assert float(rendering.background) < 0.05
    assert abs(float(rendering.points[0, rendering.weights[0].argmax(), 2]) + 2.0) < 0.6


@settings(max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.floats(1.0, 60.0))
def test_weights_and_background_sum_to_one(values, sharpness):
    sdf = torch.tensor([values])
    weights, background = sdf_to_weights(sdf, torch.ones_like(sdf, dtype=torch.bool), sharpness)
    assert (weights >= 0).all()
    assert torch.isclose(weights.sum() + background[0], torch.tensor(1.0), atol=1e-4)


def test_a_ray_that_starts_inside_a_solid_ends_there():
    weights, _ = sdf_to_weights(torch.full((1, 8), -1.0), torch.ones(1, 8, dtype=torch.bool), 20.0)
    assert float(weights[0, 0]) > 0.99


def test_cast_rays_inverts_projection():
    camera = nuscenes_like_rig(352, 198)['back_left']
    projection = torch.tensor(camera.image_from_ego, dtype=torch.float64)
    pixels = torch.tensor([[10.0, 20.0], [300.0, 150.0]], dtype=torch.float64)
    rays = cast_rays(pixels, projection.expand(2, 3, 4))
    points = rays.origins + 7.5 * rays.directions
    homogeneous = points @ projection[:, :3].T + projection[:, 3]
    torch.testing.assert_close(homogeneous[:, 2], torch.full((2,), 7.5, dtype=torch.float64))
    torch.testing.assert_close(homogeneous[:, :2] / homogeneous[:, 2:], pixels)


def test_inverse_of_random_matrices():
    matrices = torch.randn(20, 3, 3, dtype=torch.float64)
    identity = torch.eye(3, dtype=torch.float64).expand(20, 3, 3)
    torch.testing.assert_close(inverse_3x3(matrices) @ matrices, identity)


def test_both_samplers_agree_inside_and_outside_the_grid():
    volume = torch.randn(65, 65, 17)
    points = (torch.rand(500, 3) - 0.5) * torch.tensor([60.0, 60.0, 10.0])
    expected = sample_volume(volume[None], points, GRID)[0]
    torch.testing.assert_close(
        sample_by_gather(volume, points, GRID), expected, atol=2e-4, rtol=1e-3
    )


def test_the_sampler_reads_coordinates_back():
    positions = GRID.node_positions().permute(3, 0, 1, 2)
    points = (torch.rand(200, 3) - 0.5) * torch.tensor([50.0, 50.0, 3.0])
    read = sample_volume(positions, points, GRID)
    torch.testing.assert_close(read.T, points, atol=1e-3, rtol=1e-4)


def test_exit_depth_of_axis_aligned_rays():
    origins = torch.zeros(3, 3)
    directions = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    exits = exit_depth(Rays(origins, directions), GRID)
    torch.testing.assert_close(exits, torch.tensor([25.6, 25.6, 4.4]))


def test_free_space_is_empty_for_blurry_surfaces_too_and_feels_the_rays():
    nodes = GRID.node_positions()
    sdf = nodes[..., 2].clamp(max=3.0).requires_grad_()
    field = Field(torch.cat([sdf[None], torch.zeros(3, *sdf.shape)]), GRID)
    rays = Rays(torch.tensor([[0.0, 0.0, 3.5]]), torch.tensor([[1.0, 0.0, 0.0]]))
    rendering = render_edges(field, rays, log_spaced_distances(0.8, 45.0, 48)[None], 3.0)
    assert float(rendering.background.detach()) > 0.99
    (gradient,) = torch.autograd.grad(rendering.weights[0, 20], sdf)
    assert gradient.abs().sum() > 0


def test_below_the_floor_is_ground_and_above_it_the_field_is_as_it_is():
    points = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.99], [0.0, 0.0, -2.5]])
    sampled = torch.tensor([3.0, 0.7, 0.7])
    torch.testing.assert_close(
        extended_sdf(sampled, points, GRID), torch.tensor([3.0, 0.7, 0.2 - 0.5])
    )


def test_samples_end_where_a_ray_leaves_the_volume():
    origins = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)
    directions = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    last_m = last_distance(Rays(origins, directions), GRID, 0.8, 30.0)
    expected = torch.tensor([25.6, 3.4 * math.sqrt(2), 30.0])
    torch.testing.assert_close(last_m, expected, rtol=2e-3, atol=0)


@settings(max_examples=50)
@given(slope=st.floats(0.05, 3.0), heading=st.floats(-math.pi, math.pi))
def test_nothing_of_a_ray_that_goes_down_is_left_at_its_last_sample(slope, heading):
    field = field_of(lambda nodes: torch.full(nodes.shape[:3], 1.0))
    direction = torch.tensor([[math.cos(heading), math.sin(heading), -slope]])
    rays = Rays(torch.tensor([[0.0, 0.0, 1.0]]), direction)
    if float(exit_depth(rays, GRID)) * slope < 4.5:
        return  # it leaves through a side before it is deep enough in the ground
    last_m = last_distance(rays, GRID, 0.8, 200.0)
    assert float(last_m) * slope / math.hypot(1, slope) < 1.01 * 4.5
    rendering = render_edges(field, rays, log_spaced_distances(0.8, last_m, 64), 3.0)
    assert float(rendering.background) < 0.02


def test_a_camera_at_the_edge_of_the_volume_still_has_places_for_samples():
    rays = Rays(torch.tensor([[-25.6, 0.0, 1.0]]), torch.tensor([[-1.0, 0.0, 0.0]]))
    assert float(last_distance(rays, GRID, 0.8, 45.0)) == 2 * torch.tensor(0.8)
