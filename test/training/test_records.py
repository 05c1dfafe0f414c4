"""What a run leaves behind for people: curves and pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from training import board
from training.checkpoint import Checkpoint
from training.model.selfocc import SelfOcc
from training.pictures import pictures_of
from training.trainer import Trainer


@pytest.fixture
def preset(small_preset):
    return replace(small_preset, optimizer=replace(small_preset.optimizer, steps=2))


def run(preset, clip, folder, monkeypatch):
    monkeypatch.setattr('training.trainer._LOG_EVERY', 1)
    return Trainer(preset, [clip], folder, seed=1).run()


def test_tensorboard_shows_losses_and_pictures(preset, clip, tmp_path, monkeypatch):
    pytest.importorskip('tensorboard', reason='an extra')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(preset, clip, tmp_path, monkeypatch)
    events = EventAccumulator(str(tmp_path / 'tensorboard'))
    events.Reload()
    curve = events.Scalars('training/total')
    assert [event.step for event in curve] == [1, 2]
    assert events.Scalars('training/learning_rate')[0].value > 0
    (depth,) = events.Images('depth')
    assert (depth.step, depth.height) == (2, 192)
    assert events.Images('occupancy')[0].width > 100


def test_without_tensorboard_there_is_the_log(preset, clip, tmp_path, monkeypatch):
    def missing(folder, step):
        raise ImportError('tensorboard')

    monkeypatch.setattr(board, 'TensorBoard', missing)
    run(preset, clip, tmp_path, monkeypatch)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['log.jsonl', 'model.ckpt']


def test_pictures_change_nothing(preset, clip, tmp_path):
    """Neither the mode of the network nor its statistics, nor the next random number."""
    trainer = Trainer(preset, [clip], None, seed=1)
    trainer.model.train()
    view = trainer.sampler.draw(0).current
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    random = torch.random.get_rng_state()
    pictures = pictures_of(trainer.model, preset, view)
    assert set(pictures) == {'depth', 'occupancy'}
    assert trainer.model.training
    assert torch.equal(torch.random.get_rng_state(), random)
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_density_has_pictures_too(preset, clip):
    losses = replace(preset.losses, eikonal=0.0, hessian=0.0)
    density = replace(preset, render=replace(preset.render, weights='density'), losses=losses)
    view = Trainer(density, [clip], None, seed=1).sampler.draw(0).current
    pictures = pictures_of(SelfOcc(density.model), density, view)
    assert set(pictures) == {'depth', 'occupancy'}


def test_what_a_killed_run_left_is_removed(preset, clip, tmp_path, monkeypatch):
    left, foreign = tmp_path / '.unfinished-x', tmp_path / '.unfinished-y'
    left.mkdir()
    foreign.mkdir()
    (left / 'model.ckpt').write_bytes(b'half')
    (foreign / 'model.onnx').write_bytes(b'of an export that runs now')
    path = run(preset, clip, tmp_path, monkeypatch)
    assert not left.exists()
    assert foreign.exists()
    assert Checkpoint.load(path).step == 2
