from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from training.field import Field
from training.grid import NodeGrid
from training.rendering.bins import stratified_bins
from training.rendering.box import intersect_box
from training.rendering.derivatives import gradient_volume
from training.rendering.rays import Rays
from training.rendering.render import Rendering, render

GRID = NodeGrid.box((-16.0, -16.0, -4.0), (16.0, 16.0, 4.0), (65, 65, 17))
SHARPNESS = 60.0
HEADING, PITCH = st.floats(-math.pi, math.pi), st.floats(-0.3, 0.3)


def field_of(sdf: torch.Tensor, channels: int = 0, colors: int = 0) -> Field:
    others = torch.randn(channels, *sdf.shape)
    return Field(torch.cat([sdf[None], others]), GRID, colors)


def rendered(field: Field, rays: Rays, samples: int = 128, **options) -> Rendering:
    bins = stratified_bins(intersect_box(rays, field.grid), samples)
    gradient = gradient_volume(field.sdf, field.grid)
    return render(field, gradient, rays, bins, torch.tensor(SHARPNESS), **options)


def ray(heading: float, pitch: float, length: float = 1.0) -> Rays:
    direction = [math.cos(heading) * math.cos(pitch), math.sin(heading) * math.cos(pitch)]
    return Rays(torch.zeros(1, 3), length * torch.tensor([[*direction, math.sin(pitch)]]))


def bin_error(rendering: Rendering, cosine: float = 1.0) -> float:
    """Half a bin for the place in it, and the blur of the surface along the ray."""
    return 0.5 * float(rendering.bins.widths.max()) + 2 / (SHARPNESS * cosine)


@settings(max_examples=30)
@given(st.floats(3.0, 12.0), HEADING, PITCH, st.floats(0.5, 2.0))
def test_a_plane_is_rendered_at_its_distance(distance_m, heading, pitch, length):
    rays = ray(heading, pitch, length)
    normal = torch.tensor([math.cos(heading), math.sin(heading), 0.0])
    rendering = rendered(field_of(distance_m - GRID.node_positions() @ normal), rays)
    expected = distance_m / math.cos(pitch)
    assert abs(float(rendering.distance) - expected) < bin_error(rendering, math.cos(pitch))
    assert float(rendering.depth) == pytest.approx(float(rendering.distance) / length, rel=1e-5)
    assert float(rendering.accumulation) > 0.99
    assert float(rendering.accumulation) <= 1 + 1e-5


@settings(max_examples=20)
@given(HEADING, st.floats(1.5, 3.5))
def test_a_sphere_is_rendered_at_its_surface(heading, radius_m):
    rays = ray(heading, 0.0)
    sdf = (GRID.node_positions() - 9 * rays.directions[0]).norm(dim=-1) - radius_m
    rendering = rendered(field_of(sdf), rays)
    interpolation_m = 0.5**2 / (4 * radius_m)
    error = abs(float(rendering.distance) - (9 - radius_m))
    assert error < bin_error(rendering) + interpolation_m


@settings(max_examples=20)
@given(st.floats(-0.2, 0.2), st.floats(4.0, 9.0))
def test_a_box_is_rendered_at_its_face(heading, near_m):
    nodes = GRID.node_positions()
    outside = (nodes - torch.tensor([near_m + 3, 0.0, 0.0])).abs() - torch.tensor([3.0, 4.0, 2.0])
    sdf = outside.clamp(min=0).norm(dim=-1) + outside.amax(-1).clamp(max=0)
    rendering = rendered(field_of(sdf), ray(heading, 0.0))
    expected = near_m / math.cos(heading)
    assert abs(float(rendering.distance) - expected) < bin_error(rendering, math.cos(heading))
    assert abs(float(rendering.max_depth) - expected) < float(rendering.bins.widths.max())


def test_the_original_sees_surfaces_half_a_bin_too_far():
    rays = ray(0.0, 0.0)
    field = field_of(8.0 - GRID.node_positions()[..., 0])
    ours, original = (float(rendered(field, rays, 32, parity=p).distance) for p in (False, True))
    half_bin = 16 / 32 / 2
    assert original - ours == pytest.approx(half_bin, abs=0.02)


def test_normals_of_a_plane():
    field = field_of(6.0 - GRID.node_positions()[..., 0])
    normals = rendered(field, ray(0.2, 0.0)).normals()
    torch.testing.assert_close(normals, torch.tensor([[-1.0, 0.0, 0.0]]))


def test_color_and_semantics_are_those_of_the_surface():
    x = GRID.node_positions()[..., 0]
    red = 0.5 / 0.28209479
    color = torch.stack([(x > 3) * 2 * red - red, -red * torch.ones_like(x), 0 * x])
    logits = torch.stack([20.0 * (x <= 3), 20.0 * (x > 3)])
    field = Field(torch.cat([(6.0 - x)[None], color, logits]), GRID)
    rendering = rendered(field, ray(0.0, 0.0), background=torch.ones(1, 3))
    torch.testing.assert_close(rendering.color, torch.tensor([[1.0, 0.0, 0.5]]), atol=0.01, rtol=0)
    torch.testing.assert_close(rendering.semantics, torch.tensor([[0.0, 1.0]]), atol=0.01, rtol=0)


def test_the_background_shows_where_nothing_is_met():
    field = field_of(torch.full(GRID.node_positions().shape[:3], 5.0), 3, 3)
    background = torch.tensor([[0.2, 0.4, 0.9]])
    color = rendered(field, ray(0.0, 0.0), background=background).color
    torch.testing.assert_close(color, background, atol=1e-3, rtol=0)


def test_a_density_shows_a_wall_but_has_no_normals():
    x = GRID.node_positions()[..., 0]
    rays = ray(0.0, 0.0)
    bins = stratified_bins(intersect_box(rays, GRID), 128)
    rendering = render(field_of(6.0 - x), None, rays, bins, torch.tensor(SHARPNESS))
    assert abs(float(rendering.distance) - 6.0) < 0.5
    with pytest.raises(ValueError, match='no normals'):
        rendering.normals()


@pytest.mark.parametrize('parity', [False, True])
def test_chunks_change_nothing(parity):
    rays = Rays(torch.zeros(7, 3), torch.randn(7, 3))
    nodes = GRID.node_positions()
    field = field_of(nodes.norm(dim=-1) * -1 + 3 + 0.1 * nodes[..., 2], 5, 3)
    results = []
    for chunk in (None, 3):
        volume = field.volume.clone().requires_grad_()
        rendering = rendered(
            field._replace(volume=volume), rays, 16, chunk_rays=chunk, parity=parity
        )
        gradient = rendering.gradient
        total = rendering.depth.sum() + rendering.color.sum() + gradient.square().sum()
        (slope,) = torch.autograd.grad(total + rendering.semantics.square().sum(), volume)
        results.append((rendering.depth, rendering.semantics, gradient, slope))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('parity', [False, True])
def test_gradients_of_the_renderer(parity):
    grid = NodeGrid.box((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), (3, 3, 3))
    rays = Rays(torch.zeros(2, 3).double(), torch.randn(2, 3).double())
    bins = stratified_bins(intersect_box(rays, grid), 4)
    volume = 0.3 * torch.randn(6, 3, 3, 3, dtype=torch.float64)
    volume[1:4] = volume[1:4].abs() + 0.1  # away from the kink of the colour
    sharpness = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)

    def outputs(volume, sharpness):
        gradient = gradient_volume(volume[0], grid)
        result = render(
            Field(volume, grid), gradient, rays, bins, sharpness, anneal=0.3, parity=parity
        )
        return result.weights, result.depth, result.color, result.semantics

    assert gradcheck(outputs, (volume.requires_grad_(), sharpness))
