from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfocc_core.errors import SelfOccError
from training import objective as objective_module
from training.config import Preset
from training.model.selfocc import SelfOcc
from training.objective import LatticeObjective
from training.presets import PRESETS

sys.path.insert(0, str(Path(__file__).parents[2] / 'benchmarks'))
from method import forward_pass, random_sample, training_step, with_checkpoints


@pytest.fixture
def preset() -> Preset:
    """The method at the least size, on images of 32x64."""
    tiny = PRESETS['method_tiny']
    images = replace(
        tiny.model.input, height=32, width=64, supervision_height=64, supervision_width=128
    )
    return replace(tiny, model=replace(tiny.model, input=images))


def learn(preset: Preset, step: int = 2500):
    torch.manual_seed(0)
    network, sample = SelfOcc(preset.model), random_sample(preset)
    current = sample.current
    (field,) = network(
        current.images[None], current.image_from_ego[None], sample.camera_mask[None]
    )
    objective = LatticeObjective(preset, step, torch.Generator().manual_seed(0))
    losses = objective(field, sample, network.sharpness())
    losses['total'].backward()
    return network, {name: float(value.detach()) for name, value in losses.items()}


def test_the_published_losses_reach_every_parameter(preset):
    network, losses = learn(preset)
    assert set(losses) == {'photometric', 'rgb', 'eikonal', 'hessian', 'semantic', 'total'}
    parts = sum(value for name, value in losses.items() if name != 'total')
    assert losses['total'] == pytest.approx(parts, rel=1e-4)
    frozen = {'backbone.conv1.weight', 'backbone.bn1.weight', 'backbone.bn1.bias'}
    for name, parameter in network.named_parameters():
        if name not in frozen:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
    assert float(network.sharpness.exponent.grad.abs()) > 0


@pytest.mark.parametrize('form', ['combined', 'separate', 'reprojection'])
def test_every_photometric_form_reaches_the_field(preset, form):
    losses = replace(
        preset.losses, photometric_form=form, rgb=0.0, eikonal=0.0, hessian=0.0, semantic=0.0,
        automask=False,
    )  # fmt: skip
    network, values = learn(replace(preset, losses=losses))
    assert set(values) == {'photometric', 'total'}
    assert float(network.decoder.mlp[3].weight.grad[0].abs().max()) > 0


@pytest.mark.parametrize('form', ['soft', 'surface', 'hard', 'adaptive', 'nodes'])
def test_every_sparsity_form_is_a_loss(preset, form):
    losses = replace(preset.losses, sparsity=1.0, sparsity_form=form)
    assert learn(replace(preset, losses=losses))[1]['sparsity'] >= 0


def test_binary_semantics_smoothness_and_swept_volume(preset):
    losses = replace(
        preset.losses,
        semantic_form='binary',
        smoothness=0.1,
        swept_volume=0.1,
        compact_hessian=True,
    )
    values = learn(replace(preset, losses=losses))[1]
    assert {'semantic', 'smoothness', 'swept_volume'} <= set(values)


def test_a_density_has_no_distance_losses(preset):
    losses = replace(preset.losses, eikonal=0.0, hessian=0.0)
    density = replace(preset, losses=losses, render=replace(preset.render, weights='density'))
    network, values = learn(density)
    assert set(values) == {'photometric', 'rgb', 'semantic', 'total'}
    assert float(network.decoder.mlp[3].weight.grad[0].abs().max()) > 0


def seen_by_the_objective(preset, monkeypatch, step=2500):
    """Return the losses, and what the objective called its parts with."""
    calls = {}

    def watch(name):
        original = getattr(objective_module, name)

        def wrapper(*arguments, **options):
            calls.setdefault(name, []).append((arguments, options))
            return original(*arguments, **options)

        monkeypatch.setattr(objective_module, name, wrapper)

    for name in ('render', 'combined_loss', 'separate_loss', 'cellular_lattice'):
        watch(name)
    return learn(preset, step)[1], calls


@pytest.mark.parametrize(('step', 'anneal'), [(0, 0.0), (1250, 0.25), (9000, 1.0)])
def test_the_cosine_is_annealed(preset, monkeypatch, step, anneal):
    _, calls = seen_by_the_objective(preset, monkeypatch, step)
    assert calls['render'][0][1]['anneal'] == pytest.approx(anneal)


def test_every_ray_has_a_background_of_its_own(preset, monkeypatch):
    _, calls = seen_by_the_objective(preset, monkeypatch)
    background = calls['render'][0][1]['background']
    assert background.shape == (6 * 8 * 12, 3)
    assert float(background.std()) > 0.2


@pytest.mark.parametrize('automask', [True, False])
@pytest.mark.parametrize('form', ['combined', 'separate'])
def test_the_form_of_the_photometric_loss_is_the_preset_s(preset, monkeypatch, form, automask):
    losses = replace(preset.losses, photometric_form=form, automask=automask)
    _, calls = seen_by_the_objective(replace(preset, losses=losses), monkeypatch)
    assert calls[f'{form}_loss'][0][1]['automask'] is automask
    assert {'combined_loss', 'separate_loss'} & set(calls) == {f'{form}_loss'}


def test_supervisions_count_by_their_share(preset, monkeypatch):
    torch.manual_seed(0)
    network, sample = SelfOcc(preset.model), random_sample(preset)
    current = sample.current
    (field,) = network(
        current.images[None], current.image_from_ego[None], sample.camera_mask[None]
    )
    (_, supervision), *_ = sample.supervisions

    def photometric(*shares: float) -> float:
        parts = replace(sample, supervisions=tuple((share, supervision) for share in shares))
        objective = LatticeObjective(preset, 0, torch.Generator().manual_seed(0))
        return float(objective(field, parts, network.sharpness())['photometric'].detach())

    assert photometric(0.25) == pytest.approx(0.25 * photometric(1.0), rel=1e-5)
    assert photometric(0.5, 0.5) == pytest.approx(photometric(1.0), rel=0.2)


def test_the_parity_form_differs(preset):
    quirky = replace(preset, model=replace(preset.model, parity=True))
    assert learn(quirky)[1]['total'] != pytest.approx(learn(preset)[1]['total'], rel=1e-5)


def test_recomputing_changes_no_loss_and_no_gradient(preset):
    still = replace(
        preset, model=replace(preset.model, encoder=replace(preset.model.encoder, dropout=0.0))
    )
    keeping = replace(still, render=replace(still.render, checkpoint=False))
    one, losses = learn(keeping)
    other, same = learn(with_checkpoints(still))
    assert same == pytest.approx(losses, rel=1e-5)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-3)


def test_labels_that_are_no_class_are_left_out(preset):
    sample = random_sample(preset)
    share, supervision = sample.supervisions[0]
    ignored = torch.full_like(supervision.anchor.labels, 255)
    anchor = replace(supervision.anchor, labels=ignored)
    sample = replace(sample, supervisions=((share, replace(supervision, anchor=anchor)),))
    network, current = SelfOcc(preset.model), sample.current
    (field,) = network(
        current.images[None], current.image_from_ego[None], sample.camera_mask[None]
    )
    objective = LatticeObjective(preset, 0, torch.Generator())
    semantic = objective(field, sample, network.sharpness())['semantic']
    assert float(semantic.detach()) == 0


def test_semantics_without_labels_are_refused(preset):
    sample = random_sample(preset)
    share, supervision = sample.supervisions[0]
    anchor = replace(supervision.anchor, labels=None)
    sample = replace(sample, supervisions=((share, replace(supervision, anchor=anchor)),))
    network, current = SelfOcc(preset.model), sample.current
    (field,) = network(
        current.images[None], current.image_from_ego[None], sample.camera_mask[None]
    )
    objective = LatticeObjective(preset, 0, torch.Generator())
    with pytest.raises(SelfOccError, match='pseudo-labels'):
        objective(field, sample, network.sharpness())


def test_the_benchmark_measures_something(preset):
    rendering = forward_pass(preset)()
    assert rendering.color.shape == (6 * 8 * 12, 3)
    assert float(rendering.accumulation.max()) <= 1 + 1e-5
    step = training_step(preset)
    assert step() != step()
