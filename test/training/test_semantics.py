"""Classes in the small presets: from pseudo-labels to the exported model and its scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from selfocc_core.errors import SelfOccError
from selfocc_core.semantics import CLASS_NAMES
from training.config import Preset
from training.data.sampler import Sampler
from training.deployed import DeployedModel
from training.model.selfocc import SelfOcc
from training.pixel_objective import PixelObjective
from training.presets import PRESETS
from training.trainer import Trainer

CLASSES = CLASS_NAMES[1:]


@pytest.fixture
def preset(small_preset) -> Preset:
    semantic = PRESETS['selfocc-tiny-semantic']
    decoder = replace(small_preset.model.decoder, class_names=semantic.model.decoder.class_names)
    return replace(
        small_preset,
        model=replace(small_preset.model, decoder=decoder),
        losses=replace(small_preset.losses, semantic=semantic.losses.semantic),
        optimizer=replace(small_preset.optimizer, steps=3),
    )


@pytest.fixture
def labelled(clip):
    """The lower half of every image is road, the rest has no label."""
    labels = np.full(clip.supervision_images.shape[:-1], 255, np.uint8)
    labels[:, :, 16:] = CLASSES.index('road')
    return replace(clip, supervision_labels=labels)


def losses_of(preset, clip, seed=0):
    torch.manual_seed(0)
    network = SelfOcc(preset.model)
    sample = Sampler([clip], preset.temporal, 1).draw(0)
    images, current = sample.current.images.float(), sample.current
    (field,) = network(images[None], current.image_from_ego[None], sample.camera_mask[None])
    generator = torch.Generator().manual_seed(seed)
    return PixelObjective(preset, generator)(field, sample, torch.tensor(3.0))


def test_the_preset_has_the_classes_of_the_generated_world():
    semantic, tiny = PRESETS['selfocc-tiny-semantic'], PRESETS['selfocc-tiny']
    assert semantic.model.decoder.class_names == CLASSES
    assert semantic.losses == replace(tiny.losses, semantic=0.1)
    assert semantic.optimizer == tiny.optimizer


def test_the_semantic_loss_joins_the_others(preset, labelled):
    losses = {name: loss.detach() for name, loss in losses_of(preset, labelled).items()}
    twice = losses_of(replace(preset, losses=replace(preset.losses, semantic=0.2)), labelled)
    none = losses_of(replace(preset, losses=replace(preset.losses, semantic=0.0)), labelled)
    assert float(losses['semantic']) > 0
    assert float(twice['semantic']) == pytest.approx(2 * float(losses['semantic']))
    assert 'semantic' not in none
    more = float(losses['total'] - none['total'])
    assert more == pytest.approx(float(losses['semantic']), abs=1e-5)
    for name in ('photometric', 'rgb', 'eikonal'):
        assert float(losses[name]) == float(none[name])


def test_without_labels_or_classes_it_is_refused(preset, clip):
    with pytest.raises(SelfOccError, match='a clip has no pseudo-labels'):
        losses_of(preset, clip)
    with pytest.raises(SelfOccError, match='binary semantics'):
        replace(preset, losses=replace(preset.losses, semantic_form='binary'))


def test_it_learns_what_the_labels_say(preset, labelled, tmp_path):
    preset = replace(
        preset,
        losses=replace(preset.losses, semantic=2.0),
        optimizer=replace(preset.optimizer, steps=15, warm_up=2, learning_rate=1e-2),
    )
    trainer = Trainer(preset, [labelled], tmp_path, seed=1)
    trainer.model.train()
    losses = [float(trainer._train_step(step)['semantic']) for step in range(15)]
    assert losses[-1] < 0.6 * losses[0]
    model = DeployedModel(trainer.model.eval(), preset)
    view = trainer.sampler.draw(0).current
    sdf, _, labels = model(view.images, view.image_from_ego, torch.ones(6, dtype=torch.bool))
    assert labels.shape == sdf.shape
    ground = labels[:, :, :5]
    assert (ground == CLASSES.index('road')).float().mean() > 0.8
