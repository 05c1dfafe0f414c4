"""Every ablation of the small preset is a configuration that learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from selfocc_core.errors import SelfOccError
from training.checkpoint import differences
from training.data.sampler import Sampler
from training.model.selfocc import SelfOcc
from training.pixel_objective import PixelObjective
from training.presets import PRESETS


def changed(preset, **parts):
    """Replace values in parts of a preset."""
    return replace(
        preset, **{part: replace(getattr(preset, part), **v) for part, v in parts.items()}
    )


def density(preset):
    return changed(preset, render={'weights': 'density'}, losses={'eikonal': 0.0, 'hessian': 0.0})


def bird(preset, **decoder):
    model = replace(
        preset.model,
        encoder=replace(preset.model.encoder, view='bev'),
        decoder=replace(preset.model.decoder, **decoder),
    )
    return replace(preset, model=model)


def learn(preset, clip):
    torch.manual_seed(0)
    network = SelfOcc(preset.model, preset.render.sharpness_start)
    sample = Sampler([clip], preset.temporal, 1).draw(3)
    current = sample.current
    (field,) = network(
        current.images[None], current.image_from_ego[None], sample.camera_mask[None]
    )
    losses = PixelObjective(preset, torch.Generator().manual_seed(0))(
        field, sample, torch.tensor(3.0)
    )
    losses['total'].backward()
    return network, {name: float(value.detach()) for name, value in losses.items()}


ABLATIONS = {
    'density': density,
    'reprojection': lambda p: changed(p, losses={'photometric_form': 'reprojection'}),
    'both': lambda p: changed(density(p), losses={'photometric_form': 'reprojection'}),
    'bev': bird,
    'bev without lift': lambda p: bird(p, lift=False),
    'no temporal': lambda p: changed(
        p, temporal={'both_anchors': False, 'current_share': 1.0, 'previous_share': 0.0}
    ),
}


@pytest.mark.parametrize('name', ABLATIONS)
def test_every_ablation_reaches_the_whole_network(name, small_preset, clip):
    preset = changed(ABLATIONS[name](small_preset), losses={'automask': False})
    network, losses = learn(preset, clip)
    assert losses['photometric'] > 0
    unused = {'sharpness.exponent'}  # it is scheduled
    for parameter_name, parameter in network.named_parameters():
        if parameter_name not in unused:
            assert parameter.grad is not None, parameter_name
            assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize('loss', ['eikonal', 'hessian', 'sparsity'])
def test_a_loss_without_weight_is_left_out(loss, small_preset, clip):
    assert loss in learn(small_preset, clip)[1]
    assert loss not in learn(changed(small_preset, losses={loss: 0.0}), clip)[1]


def test_plain_reprojection_moves_the_field_by_the_warp(small_preset, clip):
    """Without colour and regularisers, the gradient comes through the rendered depth alone."""
    only = {
        'rgb': 0.0, 'eikonal': 0.0, 'hessian': 0.0, 'sparsity': 0.0, 'swept_volume': 0.0,
        'automask': False,
    }  # fmt: skip
    preset = changed(small_preset, losses={**only, 'photometric_form': 'reprojection'})
    network, _ = learn(preset, clip)
    assert float(network.decoder.head.weight.grad[0].abs().max()) > 0


@torch.no_grad()
def test_a_bird_s_eye_view_tells_heights_apart_and_starts_as_the_ground(small_preset):
    model = bird(small_preset, lift=False).model
    network = SelfOcc(model).eval()
    planes = [torch.randn(1, *shape, model.encoder.dim) for shape in network.encoder.shapes]
    assert len(planes) == 1
    field = network.decoder(planes)
    heights = network.decoder.ground
    torch.testing.assert_close(field[0, 0].mean((0, 1)), heights, atol=0.1, rtol=0)
    columns = field[0, 0] - heights
    assert float(columns.std(-1).mean()) > 1e-3


def test_the_baseline_follows_the_small_preset():
    ours, baseline = PRESETS['selfocc-tiny'], PRESETS['scenerf_like']
    assert {text.split()[0] for text in differences(baseline, ours)} == {
        'name', 'summary', 'render.weights', 'losses.photometric_form', 'losses.eikonal',
        'losses.hessian', 'losses.sparsity',
    }  # fmt: skip
    assert baseline.losses.photometric_form == 'reprojection'
    assert baseline.losses.eikonal == baseline.losses.hessian == baseline.losses.sparsity == 0
    assert baseline.threshold == -baseline.output.occupied_above_opacity
    assert ours.threshold == ours.output.occupied_below_m


@pytest.mark.parametrize(
    ('parts', 'words'),
    [
        ({'render': {'weights': 'density'}}, 'a density is no distance'),
        ({'losses': {'photometric_form': 'separate'}}, 'separate needs render.rays lattice'),
        ({'temporal': {'current_share': 1.0, 'previous_share': 0.0}}, 'both_anchors'),
        ({'output': {'occupied_above_opacity': 1.0}}, 'occupied_above_opacity'),
    ],
)
def test_what_does_not_fit_together_is_refused(parts, words):
    with pytest.raises(SelfOccError, match=words):
        changed(PRESETS['selfocc-tiny'], **parts)
