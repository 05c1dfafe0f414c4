from __future__ import annotations

import torch

from training.losses.regularizers import (
    eikonal_loss,
    gradients,
    hessian_loss,
    sparsity_loss,
    swept_volume_loss,
)
from training.model.selfocc import Field
from training.model.tpv_encoder import node_positions
from training.presets import NodeGrid

GRID = NodeGrid(nodes=(17, 17, 9))


def test_gradients_of_a_tilted_plane_have_unit_length():
    normal = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5]), dim=0)
    gradient = gradients(node_positions(GRID) @ normal, GRID)
    torch.testing.assert_close(gradient.mean((1, 2, 3)), normal, atol=1e-4, rtol=1e-4)
    assert float(eikonal_loss(gradient)) < 1e-6
    assert float(hessian_loss(gradient, GRID)) < 1e-4


def test_eikonal_loss_of_half_the_slope():
    gradient = gradients(0.5 * node_positions(GRID)[..., 0], GRID)
    torch.testing.assert_close(eikonal_loss(gradient), torch.tensor(0.25), atol=1e-4, rtol=1e-3)


def test_hessian_loss_sees_curvature():
    x = node_positions(GRID)[..., 0]
    gradient = gradients(0.05 * x * x, GRID)
    torch.testing.assert_close(
        hessian_loss(gradient, GRID) * 9, torch.tensor(0.1), rtol=1e-2, atol=0
    )


def test_sparsity_counts_only_the_inside():
    assert float(sparsity_loss(torch.tensor([-1.0, 2.0]))) == 0.5


def test_swept_volume_must_be_free():
    nodes = node_positions(GRID)
    color = torch.zeros(3, *nodes.shape[:3])
    points = torch.tensor([[0.0, 0.0, 1.0]])
    solid = Field(torch.full(nodes.shape[:3], -1.0), color, GRID)
    free = Field(torch.full(nodes.shape[:3], 1.0), color, GRID)
    assert float(swept_volume_loss(solid, points)) > 1.5
    assert float(swept_volume_loss(free, points)) == 0.0
