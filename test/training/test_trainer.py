"""Parameter groups, the log, and the rules of resuming."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from selfocc_core.errors import SelfOccError
from training.checkpoint import Checkpoint
from training.model.selfocc import SelfOcc
from training.optimizer import optimizer_for
from training.presets import PRESETS
from training.schedules import learning_rate_at
from training.trainer import Trainer


@pytest.fixture
def preset(small_preset):
    return replace(small_preset, optimizer=replace(small_preset.optimizer, steps=6))


@pytest.fixture
def quick(monkeypatch):
    """Steps that do nothing but say which they are, each of them logged."""
    monkeypatch.setattr('training.trainer._LOG_EVERY', 1)
    monkeypatch.setattr(
        Trainer, '_train_step', lambda self, step: {'total': torch.tensor(float(step))}
    )


def logged(folder):
    return [json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]


def test_the_backbone_learns_at_its_own_rate_and_a_frozen_stem_not_at_all(clip, preset):
    backbone = replace(preset.model.backbone, frozen_stem=True)
    optimizer = replace(preset.optimizer, backbone_factor=0.1)
    preset = replace(preset, model=replace(preset.model, backbone=backbone), optimizer=optimizer)
    trainer = Trainer(preset, [clip], None, seed=1)
    trainer._descend(step=3)
    rest, of_backbone = trainer.optimizer.param_groups
    assert rest['lr'] == pytest.approx(learning_rate_at(3, preset.optimizer))
    assert of_backbone['lr'] == pytest.approx(0.1 * rest['lr'])
    listed = {id(parameter) for group in (rest, of_backbone) for parameter in group['params']}
    left_out = [name for name, p in trainer.model.named_parameters() if id(p) not in listed]
    assert left_out == ['backbone.conv1.weight', 'backbone.bn1.weight', 'backbone.bn1.bias']
    assert {id(p) for p in of_backbone['params']} <= {
        id(p) for p in trainer.model.backbone.parameters()
    }


def test_every_parameter_is_in_one_group(preset):
    model = SelfOcc(preset.model)
    groups = optimizer_for(model, preset.optimizer).param_groups
    listed = [id(parameter) for group in groups for parameter in group['params']]
    assert sorted(listed) == sorted(id(parameter) for parameter in model.parameters())


def test_sharpness_is_learned_where_the_preset_says_so(clip, preset):
    learned = replace(preset, render=replace(preset.render, sharpness='learned'))
    sharpness = Trainer(learned, [clip], None, seed=1)._sharpness(5)
    assert sharpness.requires_grad
    assert float(sharpness.detach()) == pytest.approx(preset.render.sharpness_start)
    scheduled = Trainer(preset, [clip], None, seed=1)._sharpness(5)
    assert not scheduled.requires_grad
    assert float(scheduled) == pytest.approx(preset.render.sharpness_end)


@pytest.mark.usefixtures('quick')
def test_a_fresh_run_begins_a_fresh_log(clip, preset, tmp_path):
    Trainer(preset, [clip], tmp_path, seed=1).run()
    Trainer(preset, [clip], tmp_path, seed=2).run()
    assert [record['step'] for record in logged(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures('quick')
def test_a_resumed_run_drops_what_was_logged_after_the_checkpoint(clip, preset, tmp_path):
    Trainer(preset, [clip], tmp_path, seed=1).run()
    checkpoint = Checkpoint.load(tmp_path / 'model.ckpt')
    with (tmp_path / 'log.jsonl').open('a') as stream:
        stream.write('{"step": 7, "tot')  # the power went off
    trainer = Trainer(preset, [clip], tmp_path, seed=1)
    trainer.resume(replace(checkpoint, step=4))
    trainer.run()
    assert [record['step'] for record in logged(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures('quick')
def test_another_seed_is_not_resumed(clip, preset, tmp_path):
    path = Trainer(preset, [clip], tmp_path, seed=1).run()
    with pytest.raises(SelfOccError, match='trained with seed 1, not 2: resume with --seed 1'):
        Trainer(preset, [clip], tmp_path, seed=2).resume(Checkpoint.load(path))


@pytest.mark.usefixtures('quick')
def test_another_configuration_is_not_resumed_and_the_difference_is_named(clip, preset, tmp_path):
    path = Trainer(preset, [clip], tmp_path, seed=1).run()
    other = replace(preset, losses=replace(preset.losses, eikonal=0.2))
    with pytest.raises(SelfOccError, match=r'losses\.eikonal 0\.1 instead of 0\.2\): resume with'):
        Trainer(other, [clip], tmp_path, seed=1).resume(Checkpoint.load(path))


def test_imported_weights_are_not_resumed(clip, preset):
    trainer = Trainer(preset, [clip], None, seed=1)
    with pytest.raises(SelfOccError, match='it was imported'):
        trainer.resume(replace(trainer.checkpoint(), optimizer={}))


@pytest.mark.parametrize('name', PRESETS)
def test_a_checkpoint_keeps_the_configuration(name, clip, preset, tmp_path):
    checkpoint = Trainer(preset, [clip], None, seed=1).checkpoint()
    replace(checkpoint, preset=PRESETS[name]).save(tmp_path / 'model.ckpt')
    assert Checkpoint.load(tmp_path / 'model.ckpt').preset == PRESETS[name]
