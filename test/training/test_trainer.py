"""Schedules, parameter groups, and the rules of resuming."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from training.checkpoint import Checkpoint
from training.config import OptimizerConfig
from training.data.clip import Clip
from training.model.selfocc import SelfOcc
from training.presets import PRESETS
from training.trainer import Trainer, learning_rate_at, optimizer_for, sharpness_at

STEP = OptimizerConfig(
    steps=1000, learning_rate=1e-3, schedule='step', drop_at=700, warm_up=100,
    first_learning_rate=1e-6,
)  # fmt: skip
COSINE = replace(STEP, schedule='cosine', final_learning_rate=1e-5)


@pytest.fixture
def clip():
    """Random pixels along a straight drive."""
    poses = np.tile(np.eye(4), (9, 1, 1))
    poses[:, 0, 3] = 0.5 * np.arange(9)
    images = np.random.default_rng(0).integers(0, 256, (9, 6, 32, 64, 3), np.uint8)
    projections = np.stack([camera.image_from_ego for camera in nuscenes_like_rig(64, 32)])
    return Clip(
        name='random',
        stamps_ns=np.arange(9, dtype=np.int64) * 10**8,
        images=images,
        supervision_images=images,
        input_from_ego=projections,
        supervision_from_ego=projections,
        world_from_ego=poses,
        world_from_ego_at_shutter=np.repeat(poses[:, None], 6, axis=1),
    )


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


def test_warm_up_is_linear_from_the_first_learning_rate():
    rates = [learning_rate_at(step, STEP) for step in range(102)]
    assert rates[0] == pytest.approx(1e-6)
    assert rates[50] == pytest.approx((1e-6 + 1e-3) / 2)
    assert rates[100] == rates[101] == pytest.approx(1e-3)


def test_the_step_schedule_drops_once_by_ten():
    rates = [learning_rate_at(step, STEP) for step in (699, 700, 999)]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-4])


def test_the_cosine_schedule_ends_at_the_final_learning_rate():
    half = 1e-5 + 0.5 * (1e-3 - 1e-5)
    assert learning_rate_at(500, COSINE) == pytest.approx(half)
    assert learning_rate_at(1000, COSINE) == pytest.approx(1e-5)
    assert learning_rate_at(1200, COSINE) == pytest.approx(1e-5)


def test_no_warm_up_starts_at_the_peak():
    assert learning_rate_at(0, replace(STEP, warm_up=0)) == pytest.approx(1e-3)


def test_the_shipped_model_has_the_schedule_that_it_was_trained_with():
    config = PRESETS['selfocc-tiny'].optimizer
    for step in (0, 1, 20, 49, 50, 51, 1400, 2799):
        cosine = 0.5 * (1 + math.cos(math.pi * step / 2800))
        expected = 1e-3 * min(1, (step + 1) / 50) * (0.02 + 0.98 * cosine)
        assert learning_rate_at(step, config) == pytest.approx(expected, rel=1e-9)


def test_sharpness_grows_between_the_values_of_the_preset():
    render = PRESETS['selfocc-tiny'].render
    assert sharpness_at(0, 2800, render) == pytest.approx(3)
    assert sharpness_at(2799, 2800, render) == pytest.approx(40)
    middle = sharpness_at(1400, 2801, render)
    assert middle == pytest.approx(math.sqrt(3 * 40))


def test_the_backbone_learns_at_its_own_rate_and_a_frozen_stem_not_at_all(clip, preset):
    backbone = replace(preset.model.backbone, frozen_stem=True)
    optimizer = replace(preset.optimizer, backbone_factor=0.1)
    preset = replace(preset, model=replace(preset.model, backbone=backbone), optimizer=optimizer)
    trainer = Trainer(preset, [clip], None, seed=1)
    trainer._descend(sum(p.square().sum() for p in trainer.model.parameters()), step=3)
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
