from __future__ import annotations

import torch

from selfocc_core.cameras import intrinsic_matrix
from training.losses.matching import appearance_of, target_of
from training.losses.proposals import (
    ProposalCosts,
    Source,
    evidence_loss,
    mvs_embedded_loss,
    proposal_costs,
)

DEPTHS = torch.tensor([2.0, 4.0, 6.0, 8.0, 12.0, 20.0])


def stereo_wall(depth_m: float):
    """A textured wall seen before, now and after driving 0.5 m sideways."""
    k = torch.tensor(intrinsic_matrix(60.0, 60.0, 39.5, 19.5), dtype=torch.float32)
    texture = torch.rand(1, 3, 20, 60)
    texture = torch.nn.functional.interpolate(texture, (120, 360), mode='bicubic').clamp(0, 1)
    images, projections = [], []
    for side in (-0.5, 0.0, 0.5):
        v, u = torch.meshgrid(torch.arange(40.0), torch.arange(80.0), indexing='ij')
        x = (u - 39.5) / 60 * depth_m + side
        y = (v - 19.5) / 60 * depth_m
        grid = torch.stack([x / 20, y / 7], -1)[None]
        images.append(torch.nn.functional.grid_sample(texture, grid, align_corners=False))
        translation = torch.tensor([[-side], [0.0], [0.0]])
        projections.append(k @ torch.cat([torch.eye(3), translation], 1))
    return images, projections, k


def judge(depth_m: float) -> ProposalCosts:
    images, projections, k = stereo_wall(depth_m)
    pixels = torch.stack(
        torch.meshgrid(torch.arange(25.0, 55), torch.arange(8.0, 32), indexing='xy'), -1
    ).reshape(-1, 2)
    rays = len(pixels)
    directions = (torch.linalg.inv(k) @ torch.cat([pixels, torch.ones(rays, 1)], 1).T).T
    points = DEPTHS[None, :, None] * directions[:, None]
    which = torch.zeros(rays, dtype=torch.long)
    looks = [appearance_of(image, (1, 2)) for image in images]
    target = target_of(looks[1], which, pixels)
    sources = [Source(looks[i], which, projections[i].expand(rays, 3, 4)) for i in (0, 2)]
    return proposal_costs(target, pixels, points, sources)


def test_the_true_depth_explains_the_video_best():
    proposals = judge(6.0)
    best = proposals.costs.argmin(1)
    assert (best == 2).float().mean() > 0.9
    assert (proposals.costs[:, 2] < proposals.identity).float().mean() > 0.9


def test_descending_the_loss_moves_the_weight_to_the_true_depth():
    proposals = judge(6.0)
    logits = torch.zeros(len(proposals.costs), len(DEPTHS), requires_grad=True)
    for _ in range(30):
        weights = logits.softmax(1)
        loss = mvs_embedded_loss(weights[:, :5], weights[:, 5], proposals)
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits - 2000 * gradient).detach().requires_grad_()
    assert (logits.argmax(1) == 2).float().mean() > 0.85


def test_what_stands_still_in_the_image_is_masked():
    proposals = ProposalCosts(
        costs=torch.full((4, 3), 0.5),
        valid=torch.ones(4, 3, dtype=torch.bool),
        identity=torch.zeros(4),
    )
    loss = mvs_embedded_loss(torch.full((4, 2), 0.4), torch.full((4,), 0.2), proposals)
    assert float(loss) == 0.0


def test_proposals_nobody_sees_do_not_count():
    proposals = ProposalCosts(
        costs=torch.tensor([[0.2, 1e3, 0.4]]),
        valid=torch.tensor([[True, False, True]]),
        identity=torch.tensor([1.0]),
    )
    loss = mvs_embedded_loss(torch.tensor([[0.3, 0.4]]), torch.tensor([0.3]), proposals)
    torch.testing.assert_close(loss, torch.tensor(0.3))


def test_evidence_is_the_expected_cost_for_a_high_temperature():
    proposals = judge(6.0)
    weights = torch.rand(len(proposals.costs), len(DEPTHS)).softmax(1)
    expected = mvs_embedded_loss(weights[:, :5], weights[:, 5], proposals)
    hot = evidence_loss(weights[:, :5], weights[:, 5], proposals, 100.0)
    # The least evidence, 1e-3, lowers it by 100 x 1e-3.
    torch.testing.assert_close(hot + 0.1, expected, atol=2e-3, rtol=0)


def test_evidence_wins_weight_where_there_was_next_to_none():
    proposals = ProposalCosts(
        costs=torch.tensor([[0.05, 0.3, 0.3]]),
        valid=torch.ones(1, 3, dtype=torch.bool),
        identity=torch.tensor([1.0]),
    )
    pulls = []
    for loss in (mvs_embedded_loss, lambda *given: evidence_loss(*given, 0.02)):
        logits = torch.tensor([[-7.0, 0.0, 0.0]], requires_grad=True)
        weights = logits.softmax(1)
        (gradient,) = torch.autograd.grad(loss(weights[:, :2], weights[:, 2], proposals), logits)
        pulls.append(-float(gradient[0, 0]))
    assert pulls[1] > 10 * pulls[0] > 0


def test_evidence_is_finite_where_nobody_sees_what_lies_beyond():
    proposals = ProposalCosts(
        costs=torch.tensor([[0.2, 0.4, 1e3], [1e3, 1e3, 1e3]]),
        valid=torch.tensor([[True, True, False], [False, False, False]]),
        identity=torch.tensor([1.0, 1.0]),
    )
    weights = torch.tensor([[0.5, 0.2], [0.5, 0.2]], requires_grad=True)
    loss = evidence_loss(weights, torch.tensor([0.3, 0.3]), proposals, 0.02)
    (gradient,) = torch.autograd.grad(loss, weights)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert gradient[0, 0] < gradient[0, 1]
    assert (gradient[1] == 0).all()
