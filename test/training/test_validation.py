"""Losses on held-out drives: always of the same samples, and without a trace in training."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from small_run import random_clip

from selfocc_core.errors import SelfOccError
from training.checkpoint import Checkpoint
from training.config import ValidationConfig
from training.distributed import Processes
from training.trainer import Trainer
from training.validation import Validation, require_disjoint


@pytest.fixture
def preset(small_preset):
    """With all that is random in training: dropout, missing cameras, changed colours."""
    encoder = replace(small_preset.model.encoder, dropout=0.5)
    return replace(
        small_preset,
        model=replace(small_preset.model, encoder=encoder),
        temporal=replace(small_preset.temporal, camera_dropout=1.0),
        optimizer=replace(small_preset.optimizer, steps=4),
    )


@pytest.fixture
def held_out():
    return [random_clip(7)]


def run(preset, clip, folder, **options):
    path = Trainer(preset, [clip], folder, seed=1, save_every=2, **options).run()
    return Checkpoint.load(path)


def logged(folder):
    lines = (folder / 'log.jsonl').read_text().splitlines()
    return [record for record in map(json.loads, lines) if 'held_out_total' in record]


def test_training_is_the_same_with_and_without(preset, clip, held_out, tmp_path):
    config = ValidationConfig(samples=2)
    without = run(preset, clip, tmp_path / 'without')
    validated = run(preset, clip, tmp_path / 'with', held_out=held_out, validation=config)
    for name, value in without.model.items():
        assert torch.equal(value, validated.model[name]), name
    assert [record['step'] for record in logged(tmp_path / 'with')] == [2, 4]
    assert not (tmp_path / 'without' / 'log.jsonl').exists()


def test_a_resumed_run_measures_the_same(preset, clip, held_out, tmp_path):
    options = {'held_out': held_out, 'validation': ValidationConfig(samples=2, interval=1)}
    run(preset, clip, tmp_path / 'whole', **options)
    interrupted = Trainer(preset, [clip], tmp_path / 'half', seed=1, **options)
    for step in range(2):
        interrupted._train_step(step)
        interrupted.step = step + 1
        interrupted._held_out_losses()
    resumed = Trainer(preset, [clip], tmp_path / 'half', seed=1, **options)
    resumed.resume(interrupted.checkpoint())
    resumed.run()
    expected = {r['step']: r['held_out_total'] for r in logged(tmp_path / 'whole')}
    found = {r['step']: r['held_out_total'] for r in logged(tmp_path / 'half')}
    assert list(expected) == [1, 2, 3, 4]
    assert found == {step: expected[step] for step in (3, 4)}


def test_the_same_samples_are_judged_every_time_and_as_they_are(preset, clip, held_out):
    trainer = Trainer(preset, [clip], None, seed=1, held_out=held_out)
    trainer.model.train()
    random, seen = torch.random.get_rng_state(), []

    def judge(prepared):
        assert not trainer.model.training
        assert not torch.is_grad_enabled()
        seen.append(prepared)
        return trainer._losses(prepared, step=1)

    validation = Validation(preset, held_out, ValidationConfig(samples=3), Processes())
    first, again = (validation.losses(trainer.model, judge) for _ in range(2))
    assert first == again
    assert trainer.model.training
    assert torch.equal(torch.random.get_rng_state(), random)
    for prepared in seen:
        assert prepared.sample.camera_mask.all()
        assert torch.equal(prepared.images, prepared.sample.current.images.float())
    expected = [float(trainer_total(trainer, prepared)) for prepared in seen[:3]]
    assert first['total'] == pytest.approx(sum(expected) / 3, rel=1e-5)


@torch.no_grad()
def trainer_total(trainer, prepared):
    prepared.generator.manual_seed(prepared.seed)
    trainer.model.eval()
    return trainer._losses(prepared, step=1)['total']


def test_samples_are_shared_out(preset, held_out):
    """Each process judges its own; together they judge all, and the mean is over all."""
    totals = {}

    class Share(Processes):
        def sum(self, tensors):
            (table,) = tensors
            totals[self.rank] = table[:, 0].tolist()

    def judge(prepared):
        return {'total': torch.tensor(float(prepared.seed + 1))}

    model = torch.nn.Identity()
    for rank in range(2):
        share = Share(rank, 2)
        Validation(preset, held_out, ValidationConfig(samples=5), share).losses(model, judge)
    assert totals == {0: [1, 0, 3, 0, 5], 1: [0, 2, 0, 4, 0]}
    with pytest.raises(SelfOccError, match='1 held-out samples cannot be shared by 2 processes'):
        Validation(preset, held_out, ValidationConfig(samples=1), Processes(0, 2))


def test_held_out_losses_have_curves_of_their_own(preset, clip, held_out, tmp_path):
    pytest.importorskip('tensorboard', reason='an extra')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = ValidationConfig(samples=1, interval=4)
    run(preset, clip, tmp_path, held_out=held_out, validation=config)
    events = EventAccumulator(str(tmp_path / 'tensorboard'))
    events.Reload()
    (point,) = events.Scalars('held_out/photometric')
    (record,) = logged(tmp_path)
    assert (point.step, record['step']) == (4, 4)
    assert point.value == pytest.approx(record['held_out_photometric'], rel=1e-4)


def test_impossible_settings_are_refused():
    with pytest.raises(SelfOccError, match=r'--validation\.samples must be at least 1'):
        ValidationConfig(samples=0)


def test_what_is_trained_on_cannot_be_held_out(clip, held_out):
    require_disjoint([clip], held_out)
    again = replace(clip[1:], name='the same under another name')
    with pytest.raises(SelfOccError, match='the same under another name is held out, but'):
        require_disjoint([*held_out, clip], [again])
