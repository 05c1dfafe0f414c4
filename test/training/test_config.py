from __future__ import annotations

from dataclasses import replace

import pytest

from selfocc_core.errors import SelfOccError
from training.presets import PRESETS

METHOD, OURS = PRESETS['method_tiny'], PRESETS['selfocc-tiny']


@pytest.mark.parametrize(
    ('part', 'values'),
    [
        ('encoder', {'heads': 5}),
        ('backbone', {'levels': 5}),
        ('decoder', {'lift': True}),
        ('decoder', {'subdivide_z': 2}),
        ('decoder', {'subdivide_xy': 2}),
        ('decoder', {'context': 1}),
    ],
)
def test_networks_that_do_not_fit_together_are_refused(part, values):
    with pytest.raises(SelfOccError, match=part):
        replace(METHOD.model, **{part: replace(getattr(METHOD.model, part), **values)})


@pytest.mark.parametrize(
    ('preset', 'part', 'values'),
    [
        (METHOD, 'losses', {'photometric_form': 'proposals'}),
        (METHOD, 'render', {'rays': 'pixels'}),
        (METHOD, 'render', {'weights': 'density'}),
        (METHOD, 'render', {'anneal_steps': 0}),
        (METHOD, 'render', {'rows': 1}),
        (METHOD, 'render', {'samples': 1}),
        (METHOD, 'output', {'depth_near_m': 90.0}),
        (METHOD, 'output', {'depth_samples': 1}),
        (OURS, 'losses', {'semantic': 0.1}),
        (OURS, 'losses', {'smoothness': 0.1}),
        (OURS, 'losses', {'photometric_form': 'combined'}),
        (OURS, 'losses', {'temperature': 0.0}),
        (OURS, 'render', {'near_m': 50.0}),
        (OURS, 'render', {'pixel_count': 0}),
    ],
)
def test_presets_that_do_not_fit_together_are_refused(preset, part, values):
    with pytest.raises(SelfOccError, match='does not fit together'):
        replace(preset, **{part: replace(getattr(preset, part), **values)})


@pytest.mark.parametrize('steps', [(), (3,), (0, 1), (-2, 2), (2, 2), (4, 2), (1, 2, 6)])
def test_scales_that_boxes_cannot_have_are_refused(steps):
    with pytest.raises(SelfOccError, match=r'patch_steps \(.*\) are not rising powers of two'):
        replace(OURS.losses, patch_steps=steps)


def test_losses_need_what_they_compare():
    without = replace(
        METHOD.model, decoder=replace(METHOD.model.decoder, color=False, class_names=())
    )
    with pytest.raises(SelfOccError, match=r'losses\.rgb needs'):
        replace(METHOD, model=without)
    with pytest.raises(SelfOccError, match=r'losses\.semantic needs'):
        replace(METHOD, model=without, losses=replace(METHOD.losses, rgb=0.0))
