"""One step: batches, failures, running statistics, what is prepared ahead."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_run import poisoned
from torch import nn

from selfocc_core.errors import SelfOccError
from training import batches
from training.distributed import Processes, joined
from training.mixed_precision import use_mixed_precision
from training.model.selfocc import SelfOcc
from training.prefetch import Prefetch
from training.running_statistics import RunningStatistics
from training.trainer import Trainer


@pytest.fixture
def preset(small_preset):
    return replace(small_preset, optimizer=replace(small_preset.optimizer, steps=2))


def gradients_of(trainer, step=0):
    """Return the gradients of a step before they are clipped, without taking it."""
    trainer.model.train()
    for prepared in trainer.batches.of_step(step):
        trainer._learn(prepared, step)
    return {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}


def test_a_batch_is_the_mean_of_its_samples(clip, preset):
    """Seen by two processes of a batch of two: each has its own sample, with half the weight."""
    whole = gradients_of(Trainer(preset, [clip], None, seed=1, batch=2))
    halves = [
        gradients_of(Trainer(preset, [clip], None, seed=1, processes=Processes(rank, 2)))
        for rank in (0, 1)
    ]
    assert any((halves[0][name] - halves[1][name]).abs().max() > 1e-6 for name in whole)
    for name, gradient in whole.items():
        summed = halves[0][name] + halves[1][name]
        torch.testing.assert_close(summed, gradient, rtol=1e-5, atol=1e-8)


def test_without_a_batch_a_step_has_one_sample_with_the_number_of_the_step(clip, preset):
    (prepared,) = Trainer(preset, [clip], None, seed=1).batches.of_step(5)
    assert prepared.seed == 1_000_003 + 5


@pytest.mark.parametrize(('batch', 'size'), [(0, 1), (3, 2), (1, 2)])
def test_a_batch_must_be_shared_evenly(clip, preset, batch, size):
    with pytest.raises(SelfOccError, match=f'a batch of {batch} cannot be shared by {size}'):
        Trainer(preset, [clip], None, seed=1, batch=batch, processes=Processes(0, size))


def test_another_batch_is_not_resumed_but_the_same_is_taken_over(clip, preset):
    checkpoint = Trainer(preset, [clip], None, seed=1, batch=2).checkpoint()
    with pytest.raises(SelfOccError, match='with batch 2, not 1: resume with --batch 2'):
        Trainer(preset, [clip], None, seed=1, batch=1).resume(checkpoint)
    trainer = Trainer(preset, [clip], None, seed=1)
    trainer.resume(checkpoint)
    assert len(trainer.batches.of_step(0)) == 2


def test_a_loss_that_is_not_finite_ends_the_run_and_its_batch_is_kept(
    clip, preset, tmp_path, monkeypatch
):
    monkeypatch.setattr(batches, 'distort', poisoned(batches.distort, 1_000_003 + 1))
    with pytest.raises(SelfOccError, match='the loss of step 1 is not a finite') as failure:
        Trainer(preset, [clip], tmp_path, seed=1).run()
    path = tmp_path / 'failed_batch.npz'
    assert str(path) in str(failure.value)
    saved = np.load(path, allow_pickle=False)
    assert saved['step'] == 1
    assert np.isnan(saved['0.images']).all()
    assert saved['0.sample.current.images'].shape == (6, 32, 64, 3)
    assert saved['0.sample.supervisions.0.1.anchor.image_from_ego'].shape == (6, 3, 4)


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_gradient_that_is_not_finite_changes_nothing(clip, preset, tmp_path, bad):
    trainer = Trainer(preset, [clip], tmp_path, seed=1)
    trainer.model.train()
    weight = trainer.model.neck.output_convs[0].weight
    weight.register_hook(lambda gradient: gradient * bad)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    with pytest.raises(SelfOccError, match='the gradient of step 0 is not a finite number'):
        trainer._train_step(0)
    assert (tmp_path / 'failed_batch.npz').exists()
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(parameter, before[name])


def test_running_statistics_move_by_the_mean_of_the_samples():
    norm = nn.BatchNorm1d(1, momentum=0.5)
    norm.running_mean.fill_(2.0)
    statistics = RunningStatistics(norm, batch=2)
    for value in (4.0, 8.0):
        norm(torch.tensor([[value], [value]]))
        statistics.after_sample()
        assert float(norm.running_mean) == 2.0
    statistics.end(Processes())
    assert float(norm.running_mean) == pytest.approx(0.5 * 2 + 0.5 * 6)
    assert float(norm.running_var) == pytest.approx(0.5)


def test_frozen_statistics_stay():
    norm = nn.BatchNorm1d(1).eval()
    statistics = RunningStatistics(norm, batch=2)
    norm.running_mean.fill_(7.0)
    statistics.after_sample()
    statistics.end(Processes())
    assert float(norm.running_mean) == 7.0


def test_the_next_item_is_made_while_the_present_one_is_used():
    made, second = [], threading.Event()

    def make(number):
        made.append(number)
        if number == 1:
            second.set()
        return 10 * number

    prefetch = Prefetch(make)
    assert prefetch.get(0) == 0
    assert second.wait(10)
    assert prefetch.get(1) == 10
    assert prefetch.get(7) == 70  # out of order, as a resumed run begins
    assert made[:2] == [0, 1]
    assert made.count(1) == made.count(7) == 1


def test_an_item_that_cannot_be_made_fails_when_it_is_wanted():
    def make(number):
        if number == 1:
            raise SelfOccError('the drive is damaged')
        return number

    prefetch = Prefetch(make)
    assert prefetch.get(0) == 0
    with pytest.raises(SelfOccError, match='damaged'):
        prefetch.get(1)


def test_mixed_precision_is_for_image_features_alone(preset):
    torch.manual_seed(0)
    network = SelfOcc(preset.model).eval()
    images = torch.rand(6, 3, 32, 64)
    exact = network.look(images)
    use_mixed_precision(network, 'cpu')
    mixed = network.look(images)
    for one, other in zip(exact, mixed, strict=True):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.1)
    assert network.sharpness().dtype == torch.float32


def test_no_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SelfOccError, match='torch finds no GPU'), joined('cuda'):
        pass


def test_without_torchrun_a_process_is_alone():
    with joined('cpu') as processes:
        assert (processes.rank, processes.size, processes.is_first) == (0, 1, True)


def test_the_first_process_speaks_for_all():
    with pytest.raises(SelfOccError), Processes(0, 2).one_voice():
        raise SelfOccError('wrong')
    with pytest.raises(SystemExit) as ended, Processes(1, 2).one_voice():
        raise SelfOccError('wrong')
    assert ended.value.code == 1
