from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.field import Field
from training.grid import NodeGrid
from training.losses.eikonal import eikonal_loss
from training.losses.sparsity import (
    adaptive_sparsity_loss,
    hard_sparsity_loss,
    lattice_cells,
    shifted_lattice,
    soft_sparsity_loss,
    surface_sparsity_loss,
    uniform_sdf,
)
from training.losses.swept_volume import swept_volume_loss

GRID = NodeGrid.box((-3.0, 0.0, -1.0), (3.0, 4.0, 1.4), (7, 9, 5))


def test_eikonal_loss_is_the_mean_over_all_places():
    half, steep = torch.zeros(3, 2), torch.zeros(3, 3, 2)
    half[0], steep[1] = 0.5, 3.0
    assert float(eikonal_loss(half)) == pytest.approx(0.25)
    assert float(eikonal_loss(half, steep)) == pytest.approx((2 * 0.25 + 6 * 4) / 8)


def test_eikonal_loss_has_a_gradient_where_the_field_is_flat():
    flat = torch.zeros(3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(eikonal_loss(flat), flat)
    assert gradient.isfinite().all()


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_every_point_of_the_shifted_lattice_stays_in_its_cell(seed):
    x, y, z = lattice_cells(GRID)
    assert (x, y, z) == (15, 10, 6)
    draws = torch.rand(x * y * z, 3, generator=torch.Generator().manual_seed(seed))
    shift = shifted_lattice(GRID, draws) - shifted_lattice(GRID, None)
    assert shift.shape == (y, x, z, 3)
    assert float(shift.abs().max()) <= 0.2 + 1e-5
    assert float(GRID.to_unit(shifted_lattice(GRID, draws)).abs().max()) <= 1 + 1e-5


def test_the_distance_is_read_at_the_lattice():
    x = GRID.node_positions()[..., 0]
    points = shifted_lattice(GRID, None)
    torch.testing.assert_close(uniform_sdf(Field(x[None], GRID, 0), points), points[..., 0])


def test_soft_sparsity_counts_only_the_inside():
    assert float(soft_sparsity_loss(torch.tensor([-1.0, 2.0]))) == 0.5


def test_surface_sparsity_counts_only_the_surface():
    sdf = torch.tensor([0.0, 1e4, -5.0, 9.0], requires_grad=True)
    loss = surface_sparsity_loss(sdf)
    assert float(loss.detach()) == pytest.approx(0.25)
    (gradient,) = torch.autograd.grad(loss, sdf)
    assert gradient.isfinite().all()


def test_hard_sparsity_allows_a_share():
    assert float(hard_sparsity_loss(torch.tensor([-50.0, 50, 50, 50, 50]))) == pytest.approx(0.0)
    assert float(hard_sparsity_loss(torch.tensor([-50.0, 50.0]))) == pytest.approx(0.3)


def test_adaptive_sparsity_looks_well_behind_the_surface():
    depths = torch.tensor([[1.0, 4.0, 9.0, 20.0]])
    sdf = torch.tensor([[-9.0, -9.0, -1.0, 3.0]])
    assert float(adaptive_sparsity_loss(sdf, depths, torch.tensor([4.0]))) == 0.5
    assert float(adaptive_sparsity_loss(sdf, depths, torch.tensor([30.0]))) == 0


def test_swept_volume_must_be_free():
    shape = GRID.node_positions().shape[:3]
    points = torch.tensor([[0.0, 1.0, 1.0]])
    solid = Field(torch.full((1, *shape), -1.0), GRID, 0)
    free = Field(torch.full((1, *shape), 1.0), GRID, 0)
    assert float(swept_volume_loss(solid, points)) > 1.5
    assert float(swept_volume_loss(free, points)) == 0.0
