from __future__ import annotations

import pytest
import torch

from training.grid import Axis, NodeGrid
from training.losses.eikonal import eikonal_loss
from training.losses.hessian import hessian_loss
from training.rendering.derivatives import gradient_volume, hessian_volume

LINEAR = NodeGrid.box((-4.0, 0.0, -1.0), (4.0, 6.0, 2.0), (9, 7, 5))
BENT = NodeGrid(
    Axis(4, 2.0, 3, 6.0, outer_growth='linear'),
    Axis(3, 3.0, 2, 8.0, symmetric=False),
    Axis(3, 1.0, 2, 4.0, start_m=-1.0, symmetric=False, outer_growth='linear'),
)


@pytest.mark.parametrize('grid', [LINEAR, BENT])
def test_the_gradient_of_a_plane_is_its_normal_up_to_the_border(grid):
    normal = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5]), dim=0)
    gradient = gradient_volume(grid.node_positions() @ normal, grid)
    torch.testing.assert_close(
        gradient, normal.view(3, 1, 1, 1).expand_as(gradient), atol=1e-4, rtol=1e-4
    )
    assert float(eikonal_loss(gradient)) < 1e-6


def test_the_original_halves_the_slope_at_the_border():
    gradient = gradient_volume(LINEAR.node_positions()[..., 0], LINEAR, parity=True)[0]
    torch.testing.assert_close(gradient[:, 0], torch.full((7, 5), 0.5))
    torch.testing.assert_close(gradient[:, 1:-1], torch.ones(7, 7, 5))


@pytest.mark.parametrize('grid', [LINEAR, BENT])
@pytest.mark.parametrize('axis', [0, 1, 2])
def test_the_compact_form_sees_the_curvature_of_a_parabola_everywhere(grid, axis):
    sdf = 0.5 * grid.node_positions()[..., axis] ** 2
    hessian = hessian_volume(sdf, gradient_volume(sdf, grid), grid, compact=True)
    expected = torch.zeros(3, 3)
    expected[axis, axis] = 1.0
    torch.testing.assert_close(
        hessian,
        expected.view(3, 3, 1, 1, 1).expand_as(hessian),
        atol=2e-4,
        rtol=1e-4,
    )
    assert float(hessian_loss(hessian)) == pytest.approx(1 / 9, rel=1e-3)


def test_mixed_derivatives_are_symmetric_in_the_right_places():
    x, y, z = LINEAR.node_positions().unbind(-1)
    sdf = 2 * x * y + 3 * y * z
    hessian = hessian_volume(sdf, gradient_volume(sdf, LINEAR), LINEAR)[..., 2:-2, 2:-2, 2:-2]
    expected = torch.tensor([[0.0, 2.0, 0.0], [2.0, 0.0, 3.0], [0.0, 3.0, 0.0]])
    torch.testing.assert_close(hessian, expected.view(3, 3, 1, 1, 1).expand_as(hessian))
