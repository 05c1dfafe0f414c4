from __future__ import annotations

import pytest
import torch
from test_proposals import stereo_wall

from training.losses.matching import appearance_of, target_of
from training.losses.pixel_reprojection import pixel_reprojection_loss
from training.losses.proposals import Source

WALL_M = 6.0


@pytest.fixture(scope='module')
def wall():
    """Rays in the middle image of a wall, and a loss of their depths ``[R]``."""
    torch.manual_seed(0)
    images, projections, k = stereo_wall(WALL_M)
    pixels = torch.stack(
        torch.meshgrid(torch.arange(25.0, 55), torch.arange(8.0, 32), indexing='xy'), -1
    ).reshape(-1, 2)
    rays, which = len(pixels), torch.zeros(len(pixels), dtype=torch.long)
    directions = (torch.linalg.inv(k) @ torch.cat([pixels, torch.ones(rays, 1)], 1).T).T
    looks = [appearance_of(image, (1, 2)) for image in images]
    target = target_of(looks[1], which, pixels)

    def loss(depths, automask=True, seen=(0, 2)):
        points = depths[:, None] * directions
        cameras = [projections[i].expand(rays, 3, 4) for i in (0, 2)]
        sources = [Source(looks[i], which, c) for i, c in zip(seen, cameras, strict=True)]
        return pixel_reprojection_loss(target, pixels, points, sources, automask=automask)

    return rays, loss


def test_the_true_depth_costs_least(wall):
    rays, loss = wall
    costs = {m: float(loss(torch.full((rays,), m), automask=False)) for m in (4.0, 5.0, 6.0, 8.0)}
    assert min(costs, key=costs.get) == WALL_M
    assert costs[WALL_M] < 0.8 * costs[5.0]


@pytest.mark.parametrize('start_m', [5.8, 6.2])
def test_the_gradient_points_to_the_true_depth(wall, start_m):
    rays, loss = wall
    depths = torch.full((rays,), start_m, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(depths), depths)
    counts = gradient != 0
    assert counts.float().mean() > 0.5
    assert (gradient[counts].sign() == (start_m > WALL_M) * 2 - 1).float().mean() > 0.8


def test_rays_that_no_source_sees_cost_nothing(wall):
    rays, loss = wall
    depths = torch.full((rays,), -3.0, requires_grad=True)
    value = loss(depths, automask=False)
    assert value.item() == 0
    (gradient,) = torch.autograd.grad(value, depths)
    assert (gradient == 0).all()


def test_what_matches_better_unmoved_is_masked(wall):
    rays, loss = wall
    # The same image before and after, as if the wall went along.
    depths = torch.full((rays,), WALL_M)
    assert float(loss(depths, seen=(1, 1))) == 0
    assert float(loss(depths, automask=False, seen=(1, 1))) > 0.1
