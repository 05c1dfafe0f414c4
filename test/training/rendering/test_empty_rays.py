"""Rays that meet nothing, such as those into the sky."""

from __future__ import annotations

import torch

from training.field import Field
from training.grid import NodeGrid
from training.losses.photometric import Source, combined_loss, read_target
from training.rendering.bins import stratified_bins
from training.rendering.box import intersect_box
from training.rendering.derivatives import gradient_volume
from training.rendering.rays import Rays
from training.rendering.render import render

GRID = NodeGrid.box((-20.0, -20.0, -2.0), (20.0, 20.0, 4.0), (41, 41, 13))


def rendered(directions: torch.Tensor):
    sdf = GRID.node_positions()[..., 2]
    field = Field(torch.stack([sdf, sdf * 0, sdf * 0, sdf * 0]), GRID)
    rays = Rays(torch.tensor([[0.0, 0.0, 1.5]]).expand_as(directions), directions)
    bins = stratified_bins(intersect_box(rays, GRID), 64)
    return render(field, gradient_volume(sdf, GRID), rays, bins, torch.tensor(60.0))


def test_they_leave_the_volume():
    up, ahead, down = [1.0, 0.0, 0.2], [1.0, 0.0, 0.0], [1.0, 0.0, -0.3]
    depth = rendered(torch.tensor([up, ahead, down])).depth
    torch.testing.assert_close(depth[0], torch.tensor(2.5 / 0.2), atol=0.01, rtol=0)
    torch.testing.assert_close(depth[1], torch.tensor(20.0), atol=0.01, rtol=0)
    torch.testing.assert_close(depth[2], torch.tensor(1.5 / 0.3), atol=0.2, rtol=0)


def test_they_show_what_they_see_rather_than_black():
    """A bright sky that does not move costs nothing."""
    u = torch.linspace(-0.4, 0.4, 12)
    v = torch.linspace(0.6, 0.2, 8)
    grid_v, grid_u = torch.meshgrid(v, u, indexing='ij')
    directions = torch.stack([torch.ones_like(grid_u), -grid_u, grid_v], -1).view(-1, 3)
    rendering = rendered(directions)
    assert float(rendering.accumulation.max()) < 1e-4
    pixels = torch.stack(torch.meshgrid(torch.arange(12.0), torch.arange(8.0), indexing='xy'), -1)
    images = torch.full((1, 3, 8, 12), 0.9)
    target = read_target(images, pixels.view(-1, 2), 8, 12)
    still = [Source(images, torch.eye(4)[None])] * 2
    cost = combined_loss(
        target, rendering.sample_depths[None], rendering.weights[None], still, automask=False
    )
    assert float(cost) < 1e-3
