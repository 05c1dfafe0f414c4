from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from training.grid import NodeGrid
from training.rendering.bins import stratified_bins
from training.rendering.box import Interval, intersect_box
from training.rendering.rays import Rays, rays_through

GRID = NodeGrid.box((-4.0, -8.0, -1.0), (4.0, 8.0, 2.0), (3, 3, 3))
ANGLE = st.floats(-math.pi, math.pi)


def direction(heading: float, pitch: float) -> torch.Tensor:
    return torch.tensor(
        [math.cos(heading) * math.cos(pitch), math.sin(heading) * math.cos(pitch), math.sin(pitch)]
    )


@given(ANGLE, ANGLE, st.floats(0.1, 5.0))
def test_a_ray_from_the_middle_ends_on_the_box(heading, pitch, length):
    rays = Rays(torch.tensor([[0.5, -1.0, 0.5]]), length * direction(heading, pitch)[None])
    interval = intersect_box(rays, GRID)
    assert float(interval.near) == 0
    end = GRID.to_unit(rays.at(interval.far[:, None]))
    assert abs(float(end.abs().max()) - 1) < 1e-4


def test_a_ray_from_outside_crosses_the_box():
    rays = Rays(torch.tensor([[-10.0, 0.0, 0.0]]), torch.tensor([[2.0, 0.0, 0.0]]))
    interval = intersect_box(rays, GRID)
    torch.testing.assert_close(torch.cat([*interval]), torch.tensor([6.0, 14.0]))


def test_a_ray_that_misses_has_next_to_no_interval():
    rays = Rays(torch.tensor([[-10.0, 0.0, 9.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    near, far = intersect_box(rays, GRID)
    assert 0 < float(far - near) < 1e-4


@given(st.integers(1, 20), st.floats(0, 1), st.floats(0, 50), st.floats(0.1, 50))
def test_bins_follow_one_another_within_the_interval(samples, jitter, near, length):
    interval = Interval(torch.tensor([near]), torch.tensor([near + length]))
    bins = stratified_bins(interval, samples, torch.tensor([[jitter]]))
    torch.testing.assert_close(bins.starts[:, 1:], bins.ends[:, :-1])
    assert (bins.widths > -1e-5).all()
    assert float(bins.starts[0, 0]) >= near - 1e-4
    assert float(bins.ends[0, -1]) <= near + length + 1e-4


def test_bins_are_equal_without_jitter():
    bins = stratified_bins(Interval(torch.tensor([2.0]), torch.tensor([4.0])), 4)
    torch.testing.assert_close(bins.middles[0], torch.tensor([2.25, 2.75, 3.25, 3.75]))


def test_rays_through_pixels_pass_the_points_they_show():
    ego_from_image = torch.eye(4)
    ego_from_image[:3, :3] = torch.randn(3, 3)
    ego_from_image[:3, 3] = torch.randn(3)
    pixels = torch.tensor([[3.0, 4.0], [50.0, 2.0]])
    rays = rays_through(pixels, ego_from_image[None])
    points = rays.origins + 7 * rays.directions
    image = torch.cat([7 * pixels, torch.full((2, 1), 7.0), torch.ones(2, 1)], 1)
    torch.testing.assert_close(points, (image @ ego_from_image.T)[:, :3])
