from __future__ import annotations

import math

import pytest
import torch

from selfocc_core.errors import SelfOccError
from training.field import Field
from training.grid import NodeGrid
from training.losses.pixel_semantics import class_loss
from training.rendering.edge_render import EdgeRendering, render_edges
from training.rendering.rays import Rays, log_spaced_distances

GRID = NodeGrid.box((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (33, 33, 9))
WALL_M = 10.0


def walls(logits=8.0, classes=3, sharpness=60.0):
    """Render three rays at a wall of class 1 that has air of class 0 before it, and the sky."""
    nodes = GRID.node_positions()
    sdf = WALL_M - nodes[..., 0]
    semantics = torch.zeros(classes, *sdf.shape)
    semantics[0] = torch.where(sdf > 1.5, logits, 0.0)
    semantics[1] = torch.where(sdf <= 1.5, logits, 0.0)
    semantics.requires_grad_(True)
    field = Field(torch.cat([sdf[None], torch.zeros(3, *sdf.shape), semantics]), GRID)
    directions = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.2, 0.0], [-1.0, 0.0, 0.1]])
    rays = Rays(torch.tensor([[0.0, 0.0, 1.5]]).expand(3, 3), directions)
    distances = log_spaced_distances(0.8, 45.0, 64)[None]
    return semantics, render_edges(field, rays, distances, sharpness)


def test_classes_are_those_of_what_a_ray_meets():
    _, rendering = walls()
    hit = 1 - rendering.background
    assert (rendering.semantics[:2, 1] > 0.95).all()
    torch.testing.assert_close(rendering.semantics.sum(1), hit, rtol=1e-4, atol=1e-4)
    assert hit[2] < 0.05


def test_the_right_class_costs_least():
    _, rendering = walls()
    costs = [float(class_loss(rendering, torch.full((3,), c))) for c in range(3)]
    assert min(costs) == costs[1]
    assert costs[1] < 0.1
    assert min(costs[0], costs[2]) > 2


def test_without_knowledge_the_cost_is_that_of_chance():
    _, rendering = walls(logits=0.0)
    assert float(class_loss(rendering, torch.tensor([1, 2, 255]))) == pytest.approx(
        math.log(3), rel=1e-3
    )


def test_rays_without_label_and_rays_that_meet_nothing_teach_nothing():
    semantics, rendering = walls()
    (of_both,) = torch.autograd.grad(
        class_loss(rendering, torch.tensor([2, 255, 2])), semantics, retain_graph=True
    )
    (of_first,) = torch.autograd.grad(
        class_loss(rendering, torch.tensor([2, 255, 255])), semantics, retain_graph=True
    )
    # Two labelled rays, of which one meets nothing: half of the one alone.
    torch.testing.assert_close(2 * of_both, of_first, atol=1e-3, rtol=0.05)
    assert float(class_loss(rendering, torch.full((3,), 255))) == 0
    assert of_first[2].sum() < 0  # more of what the label says
    assert of_first[1].sum() > 0


def test_a_label_does_not_call_for_something_in_the_volume():
    """A ray that meets little: the loss is the same however little it is."""
    weights = torch.full((1, 4), 0.01, requires_grad=True)
    classes = torch.tensor([[0.9, 0.1]]).expand(4, 2)
    rendering = EdgeRendering(
        weights,
        1 - weights.sum(1),
        torch.zeros(1, 4, 3),
        torch.zeros(1),
        torch.zeros(1, 3),
        weights @ classes,
    )
    class_loss(rendering, torch.tensor([0])).backward()
    assert weights.grad.abs().max() < 1e-5


def test_a_field_without_classes_is_refused():
    _, rendering = walls()
    with pytest.raises(SelfOccError, match=r'set losses\.semantic to 0'):
        class_loss(rendering._replace(semantics=None), torch.zeros(3, dtype=torch.long))
