"""No tensor of a step stays on the CPU: found without a GPU, on a device that computes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.fx.experimental import _config

from training.presets import PRESETS
from training.sample_tensors import moved
from training.trainer import Trainer, objective_for

META = torch.device('meta')


@pytest.fixture(autouse=True)
def _numbers_of_nothing(monkeypatch):
    """Let tensors without content answer what code asks of them, and draw without a generator."""
    with META:
        torch.zeros(1)  # before random functions are replaced: torch notes which there are
    tolist, to_float = Tensor.tolist, Tensor.__float__

    def without_generator(function):
        def draw(*shape, generator=None, **options):
            return function(*shape, **options)

        return draw

    def numbers(tensor):
        return tolist(torch.full(tensor.shape, 0.5, device='cpu') if tensor.is_meta else tensor)

    monkeypatch.setattr(Tensor, 'tolist', numbers)
    monkeypatch.setattr(Tensor, '__float__', lambda t: 45.0 if t.is_meta else to_float(t))
    for name in ('rand', 'randint'):
        monkeypatch.setattr(torch, name, without_generator(getattr(torch, name)))
    with _config.patch(meta_nonzero_assume_all_nonzero=True):
        yield


@pytest.fixture(params=['pixels', 'baseline', 'lattice'])
def preset(request, small_preset):
    if request.param == 'pixels':
        return small_preset
    if request.param == 'baseline':
        baseline = PRESETS['scenerf_like']
        render = replace(small_preset.render, weights=baseline.render.weights)
        return replace(small_preset, render=render, losses=baseline.losses)
    method = PRESETS['semantickitti_occ']
    render = replace(method.render, rows=3, columns=4, samples=8)
    losses = replace(method.losses, photometric_form='combined', semantic=0.0)
    return replace(small_preset, render=render, losses=losses)


def test_a_step_stays_on_its_device(clip, preset):
    trainer = Trainer(preset, [clip], None, seed=1)
    (prepared,) = trainer.batches.of_step(0)
    network, sample = trainer.model.to(META).train(), moved(prepared.sample, META)
    with META:
        (field,) = network(
            prepared.images.to(META)[None],
            sample.current.image_from_ego[None],
            sample.camera_mask[None],
        )
        objective = objective_for(preset, 0, prepared.generator)
        losses = objective(field, sample, trainer._sharpness(0))
        losses['total'].backward()
    assert losses['total'].device == META
    assert network.backbone.layer1[0].conv1.weight.grad.device == META
