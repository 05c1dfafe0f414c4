from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from training.grid import NodeGrid
from training.rendering.density import density_weights
from training.rendering.derivatives import gradient_volume
from training.rendering.sampling import sample_volume
from training.rendering.weights import (
    neus_weights,
    resolved_sharpness,
    sdf_to_weights,
    softened,
)

SAMPLES = st.lists(st.tuples(st.floats(-50, 50), st.floats(-2, 2)), min_size=1, max_size=40)


def float64(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@settings(max_examples=100)
@given(SAMPLES, st.floats(0.1, 200.0), st.floats(0, 1))
def test_neus_weights_sum_to_at_most_one(samples, sharpness, anneal):
    sdf, cosine = torch.tensor(samples).T[:, None].float()
    widths = torch.full_like(sdf, 0.4)
    bins = neus_weights(sdf, cosine, widths, torch.tensor(sharpness), anneal=anneal)
    assert (bins.alpha >= 0).all()
    assert (bins.weights >= 0).all()
    assert float(bins.weights.sum()) <= 1 + 1e-5


@settings(max_examples=50)
@given(SAMPLES, st.floats(0.1, 50.0))
def test_density_weights_sum_to_at_most_one(samples, sharpness):
    values, _ = torch.tensor(samples).T[:, None].float()
    bins = density_weights(values, torch.full_like(values, 0.4), torch.tensor(sharpness))
    assert (bins.weights >= 0).all()
    assert float(bins.weights.sum()) <= 1 + 1e-5


def test_half_of_the_light_is_lost_on_a_metre_of_zero():
    bins = density_weights(torch.zeros(1, 10), torch.full((1, 10), 0.1), torch.tensor(7.0))
    assert float(bins.weights.sum()) == pytest.approx(0.5, abs=1e-5)


def test_a_surface_that_a_ray_leaves_is_not_seen():
    sdf = torch.linspace(-3, 3, 20)[None]
    bins = neus_weights(sdf, torch.ones_like(sdf), torch.full_like(sdf, 0.3), torch.tensor(20.0))
    assert float(bins.weights.sum()) == 0


def test_a_surface_within_a_long_bin_has_a_gradient():
    distances = torch.tensor([[8.0, 9.0, 10.0, 11.0]])

    def slope(sharpness: torch.Tensor) -> float:
        wall_m = torch.tensor(9.3, requires_grad=True)
        weights = sdf_to_weights(wall_m - distances, torch.ones(1, 4), sharpness).weights
        (gradient,) = torch.autograd.grad(weights[0, 2], wall_m)
        return abs(float(gradient))

    sharpness = torch.tensor(40.0)
    resolved = resolved_sharpness(sharpness, distances, per_bin=4.0)
    assert resolved.tolist() == [[4.0] * 4]
    assert slope(sharpness) < 1e-3
    assert slope(resolved) > 0.3


def test_short_bins_resolve_any_sharpness():
    distances = torch.linspace(1.0, 1.1, 20)[None]
    assert (resolved_sharpness(torch.tensor(40.0), distances, per_bin=6.0) == 40).all()


def test_a_share_of_the_rays_is_soft():
    draws = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0))
    of_rays = softened(torch.tensor([40.0]), 3.0, 0.25, draws)
    assert of_rays.shape == (4000, 1)
    assert of_rays.min() >= 3
    assert of_rays.max() <= 40
    soft = of_rays[of_rays < 40]
    assert abs(len(soft) / 4000 - 0.25) < 0.03
    assert abs(float(soft.log().mean()) - math.log(math.sqrt(3 * 40))) < 0.1


def test_no_ray_is_sharper_than_the_others():
    draws = torch.rand(50, 2)
    assert (softened(torch.tensor([2.0]), 3.0, 1.0, draws) == 2).all()


def test_what_a_sharp_ray_cannot_feel_a_soft_one_can():
    def pull(sharpness: float) -> float:
        """How a bin's weight in the middle of free space depends on the distance there."""
        sdf = torch.full((1, 9), 1.0, requires_grad=True)
        weights = sdf_to_weights(sdf, torch.ones(1, 9), sharpness).weights
        (gradient,) = torch.autograd.grad(weights[0, 4], sdf)
        return float(gradient.abs().max())

    assert pull(40.0) < 1e-12
    assert pull(3.0) > 1e-2


def test_the_original_lets_a_little_more_light_pass():
    sdf, cosine = torch.linspace(3, -3, 20)[None], -torch.ones(1, 20)
    widths, sharpness = torch.full_like(sdf, 0.3), torch.tensor(2.0)
    ours = neus_weights(sdf, cosine, widths, sharpness).weights
    original = neus_weights(sdf, cosine, widths, sharpness, parity=True).weights
    torch.testing.assert_close(original, ours, atol=2e-3, rtol=0)
    assert float(original.sum()) > float(ours.sum())


@pytest.mark.parametrize('parity', [False, True])
def test_gradients_of_neus_weights(parity):
    sdf, cosine = float64(3, 6), float64(3, 6)
    widths = torch.rand(3, 6, dtype=torch.float64) + 0.1
    sharpness = torch.tensor(2.5, dtype=torch.float64, requires_grad=True)

    def weights(sdf, cosine, sharpness):
        return neus_weights(sdf, cosine, widths, sharpness, anneal=0.4, parity=parity)

    assert gradcheck(weights, (sdf, cosine, sharpness))


def test_gradients_of_density_and_edge_weights():
    widths = torch.rand(3, 6, dtype=torch.float64) + 0.1
    sharpness = torch.tensor(2.5, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda f, k: density_weights(f, widths, k), (float64(3, 6), sharpness))
    inside = torch.rand(3, 6) > 0.2
    assert gradcheck(lambda s, k: sdf_to_weights(s, inside, k), (float64(3, 6), sharpness))


def test_gradients_of_sampling_a_volume_and_its_derivative():
    grid = NodeGrid.box((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), (3, 4, 3))
    points = 2.4 * torch.rand(5, 2, 3, dtype=torch.float64) - 1.2

    def sample(volume):
        return sample_volume(torch.cat([volume, gradient_volume(volume[0], grid)]), points, grid)

    assert gradcheck(sample, float64(2, 4, 3, 3))
