from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from training.losses.photometric import (
    Proposals,
    Source,
    Target,
    combined_loss,
    expected_cost,
    propose,
    read_target,
    separate_loss,
)
from training.losses.reprojection import reprojection_loss
from training.rendering.lattice import fixed_lattice

FOCAL, WALL_M = 60.0, 6.0
DEPTHS = torch.tensor([2.0, 4.0, 6.0, 8.0, 12.0, 20.0])
ROWS, COLUMNS = 6, 10
HEIGHT, WIDTH = 40, 80


def intrinsics() -> torch.Tensor:
    matrix = torch.eye(4)
    matrix[0, 0] = matrix[1, 1] = FOCAL
    matrix[0, 2], matrix[1, 2] = 39.5, 19.5
    return matrix


def wall_image(texture: torch.Tensor, side_m: float) -> torch.Tensor:
    v, u = torch.meshgrid(torch.arange(40.0), torch.arange(80.0), indexing='ij')
    x, y = (u - 39.5) / FOCAL * WALL_M + side_m, (v - 19.5) / FOCAL * WALL_M
    return torch.nn.functional.grid_sample(
        texture, torch.stack([x / 8, y / 4], -1)[None], align_corners=False
    )


def scene(side_m: float = 0.5) -> tuple[Target, list[Source]]:
    """A textured wall seen now, and from half a metre to the left and right."""
    noise = torch.rand(1, 3, 16, 32, generator=torch.Generator().manual_seed(7))
    texture = torch.nn.functional.interpolate(noise, (128, 256), mode='bicubic').clamp(0, 1)
    sources = []
    for side in (-side_m, side_m):
        moved = torch.eye(4)
        moved[0, 3] = -side
        matrix = intrinsics() @ moved @ torch.linalg.inv(intrinsics())
        sources.append(Source(wall_image(texture, side), matrix[None]))
    pixels = fixed_lattice(HEIGHT, WIDTH, ROWS, COLUMNS)
    return read_target(wall_image(texture, 0.0), pixels, ROWS, COLUMNS), sources


def depths(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return DEPTHS.to(dtype).expand(1, ROWS * COLUMNS, -1)


@pytest.mark.parametrize('loss', [combined_loss, separate_loss])
def test_the_true_depth_costs_least(loss):
    target, sources = scene()
    one_hot = torch.eye(6).unsqueeze(1).expand(-1, ROWS * COLUMNS, -1)
    costs = [
        float(loss(target, depths(), weights[None], sources, automask=False))
        for weights in one_hot
    ]
    assert costs.index(min(costs)) == 2
    assert costs[2] < 0.03


@pytest.mark.parametrize('loss', [combined_loss, separate_loss])
def test_descending_the_loss_moves_the_weight_to_the_true_depth(loss):
    target, sources = scene()
    logits = torch.zeros(1, ROWS * COLUMNS, 6, requires_grad=True)
    for _ in range(60):
        (gradient,) = torch.autograd.grad(
            loss(target, depths(), logits.softmax(-1), sources, automask=False), logits
        )
        logits = (logits - 3000 * gradient).detach().requires_grad_()
    assert (logits.argmax(-1) == 2).float().mean() > 0.8


@pytest.mark.parametrize('loss', [combined_loss, separate_loss])
def test_what_stands_still_in_the_image_is_masked(loss):
    target, sources = scene()
    _, unmoved = scene(0.0)
    still = [source._replace(images=unmoved[0].images) for source in sources]
    weights = torch.full((1, ROWS * COLUMNS, 6), 1 / 6, requires_grad=True)
    cost = loss(target, depths(), weights, still)
    (gradient,) = torch.autograd.grad(cost, weights)
    assert float(cost.detach()) < 1e-6
    assert float(gradient.abs().max()) < 1e-6


@pytest.mark.parametrize('loss', [combined_loss, separate_loss])
def test_rays_that_no_source_sees_do_not_count(loss):
    target, sources = scene()
    behind = torch.eye(4)
    behind[:3, 3] = torch.tensor([0.0, 0.0, -100.0])
    unseen = [source._replace(source_from_anchor=behind[None]) for source in sources]
    weights = torch.full((1, ROWS * COLUMNS, 6), 1 / 6)
    assert float(loss(target, depths(), weights, unseen, automask=False)) == 0
    masked = float(loss(target, depths(), weights, unseen))
    assert 0 < masked < 1


def test_samples_outside_every_source_get_no_weight():
    target, _ = scene()
    count = ROWS * COLUMNS
    proposals = Proposals(
        errors=torch.tensor([0.2, 0.0, 0.4]).expand(1, count, 3),
        colors=target.colors[..., None] * torch.tensor([1.0, 0.0, 1.0]),
        seen=torch.tensor([True, False, True]).expand(1, count, 3),
    )
    cost, seen = expected_cost(
        proposals, torch.tensor([0.3, 0.6, 0.1]).expand(1, count, 3), target
    )
    torch.testing.assert_close(cost, torch.full((1, count), 0.15 * 0.25), atol=1e-6, rtol=0)
    assert seen.all()


def test_cameras_are_judged_by_their_own_images():
    one, one_sources = scene()
    other, other_sources = scene(0.3)
    both = one._replace(colors=torch.cat([one.colors, other.colors]))
    sources = [
        Source(*(torch.cat(pair) for pair in zip(a, b, strict=True)))
        for a, b in zip(one_sources, other_sources, strict=True)
    ]
    weights = torch.rand(2, ROWS * COLUMNS, 6)
    together = combined_loss(both, depths().expand(2, -1, -1), weights, sources)
    alone = [
        combined_loss(one, depths(), weights[:1], one_sources),
        combined_loss(other, depths(), weights[1:], other_sources),
    ]
    torch.testing.assert_close(together, torch.stack(alone).mean())


@pytest.mark.parametrize('loss', [combined_loss, separate_loss])
@pytest.mark.parametrize('parity', [False, True])
def test_gradients_with_respect_to_weights(loss, parity):
    target, sources = scene()
    target = target._replace(pixels=target.pixels.double(), colors=target.colors.double())
    sources = [Source(*(part.double() for part in source)) for source in sources]
    places = torch.tensor([2.0, 5.0, 11.0], dtype=torch.float64).expand(1, ROWS * COLUMNS, -1)
    weights = torch.rand(1, ROWS * COLUMNS, 3, dtype=torch.float64, requires_grad=True)

    def cost(weights):
        return loss(target, places, weights, sources, automask=False, parity=parity)

    assert gradcheck(cost, weights, fast_mode=True)


def test_depths_are_constants_of_the_proposals():
    target, sources = scene()
    proposals = propose(target, depths().clone().requires_grad_(), sources)
    assert not proposals.errors.requires_grad
    assert not proposals.colors.requires_grad


@pytest.mark.parametrize('automask', [False, True])
def test_reprojection_pulls_the_rendered_depth_to_the_wall(automask):
    target, sources = scene(0.3)
    depth = torch.full((1, ROWS * COLUMNS), 5.5, requires_grad=True)
    for _ in range(60):
        loss = reprojection_loss(target, depth, sources, automask=automask)
        (gradient,) = torch.autograd.grad(loss, depth)
        depth = (depth - 40 * gradient).detach().requires_grad_()
    assert abs(float(depth.detach().median()) - WALL_M) < 0.15


def test_reprojection_of_rays_that_no_source_sees():
    target, sources = scene()
    behind = torch.full((1, ROWS * COLUMNS), -5.0)
    assert float(reprojection_loss(target, behind, sources)) == 0
