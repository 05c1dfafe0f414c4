"""Several processes do what one does with the same batch; a killed run loses little."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from training.checkpoint import Checkpoint

pytestmark = pytest.mark.slow
SMALL_RUN = Path(__file__).with_name('small_run.py')
TORCHRUN = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
ENVIRONMENT = os.environ | {'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}


def start(command, **options):
    command = [str(part) for part in command]
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, **options)


def run(*command):
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    with start(command, **pipes) as process:
        out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def alone(out, *options):
    code, _, err = run(sys.executable, SMALL_RUN, out, *options)
    assert code == 0, err
    return Checkpoint.load(out / 'model.ckpt')


def log_of(folder):
    lines = (folder / 'log.jsonl').read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_same_state(one: Checkpoint, other: Checkpoint):
    counters = {name for name in one.model if name.endswith('num_batches_tracked')}
    for name in one.model.keys() - counters:
        torch.testing.assert_close(one.model[name], other.model[name], rtol=1e-5, atol=1e-7)
    for index, state in one.optimizer['state'].items():
        for name, value in state.items():
            theirs = other.optimizer['state'][index][name]
            torch.testing.assert_close(value, theirs, rtol=1e-4, atol=1e-7)


def test_two_processes_learn_what_one_does_with_twice_the_batch(tmp_path):
    code, _, err = run(*TORCHRUN, SMALL_RUN, tmp_path / 'two')
    assert code == 0, err
    assert err.count('Training: 3/3') == 1
    expected = alone(tmp_path / 'one', '--batch', 2)
    two = Checkpoint.load(tmp_path / 'two' / 'model.ckpt')
    assert (two.batch, two.step) == (expected.batch, expected.step) == (2, 3)
    for ours, theirs in zip(log_of(tmp_path / 'two'), log_of(tmp_path / 'one'), strict=True):
        assert ours.pop('seconds') >= 0
        assert theirs.pop('seconds') >= 0
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert_same_state(two, expected)
    assert float(two.model['backbone.bn1.running_mean'].abs().max()) > 0  # they are compared too


def test_held_out_losses_are_the_same_under_one_process_and_two(tmp_path):
    options = ['--steps', 2, '--held-out', 5]  # which two processes cannot share evenly
    code, _, err = run(*TORCHRUN, SMALL_RUN, tmp_path / 'two', *options)
    assert code == 0, err
    alone(tmp_path / 'one', '--batch', 2, *options)
    two, one = held_out_of(tmp_path / 'two'), held_out_of(tmp_path / 'one')
    assert [record['step'] for record in two] == [1, 2]
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert one[0]['held_out_total'] != one[1]['held_out_total']


def held_out_of(folder):
    records = [record for record in log_of(folder) if 'held_out_total' in record]
    return [{k: v for k, v in record.items() if k != 'seconds'} for record in records]


def test_a_failure_of_one_process_ends_both_and_another_number_of_them_goes_on(tmp_path):
    options = ['--steps', 4, '--save-every', 2]
    broken = tmp_path / 'broken'
    code, _, err = run(*TORCHRUN, SMALL_RUN, broken, *options, '--poison', 7)
    assert code != 0
    assert err.count('the loss of step 3 is not a finite number') == 1
    failed = np.load(broken / 'failed_batch.npz', allow_pickle=False)
    assert failed['step'] == 3
    assert np.isnan(failed['0.images']).all()  # of the second process, which had sample 7
    assert failed['0.seed'] == 1_000_003 + 7
    assert Checkpoint.load(broken / 'model.ckpt').step == 2
    resumed = alone(broken, *options, '--resume')
    whole = alone(tmp_path / 'whole', *options, '--batch', 2)
    assert_same_state(resumed, whole)


def test_a_killed_run_loses_at_most_one_interval(tmp_path):
    every = 3
    command = [sys.executable, SMALL_RUN, tmp_path, '--steps', 9999, '--save-every', every]
    last = 0
    for attempt in range(3):
        resume = ['--resume'] if attempt else []
        with start([*command, *resume], stderr=subprocess.DEVNULL) as process:
            wait_for_step(process, tmp_path, last + every + 1)
            time.sleep(0.05 * attempt)
            os.kill(process.pid, signal.SIGKILL)
        reached = last_whole_step(tmp_path)
        checkpoint = Checkpoint.load(tmp_path / 'model.ckpt')
        assert last < checkpoint.step <= reached
        assert reached - checkpoint.step <= every
        last = checkpoint.step
    steps = [record['step'] for record in log_of_whole_lines(tmp_path)]
    assert steps == list(range(1, len(steps) + 1))


def wait_for_step(process, folder, step):
    ends_s = time.monotonic() + 120
    while last_whole_step(folder) < step:
        assert process.poll() is None, 'the run ended by itself'
        assert time.monotonic() < ends_s, 'the run does not get on'
        time.sleep(0.02)


def log_of_whole_lines(folder):
    path = folder / 'log.jsonl'
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith('\n')]


def last_whole_step(folder):
    records = log_of_whole_lines(folder)
    return records[-1]['step'] if records else 0


def test_the_program_runs_under_torchrun(tmp_path):
    """As ``selfocc train --help`` says it."""
    selfocc = Path(sys.executable).with_name('selfocc')
    if not selfocc.exists():
        pytest.skip('the program is not installed')
    drive = render(tmp_path / 'drive.mcap')
    train = [selfocc, 'train', '--bags', drive, '--out', tmp_path, '--device', 'cpu']
    steps = ['--config.optimizer.steps', 1, '--save-every', 1]
    code, out, err = run(*TORCHRUN, '--no-python', *train, *steps)
    assert code == 0, err
    assert out == f'wrote {tmp_path / "model.ckpt"}\n'
    assert err.count('Reading drives: 1/1') == err.count('Training: 1/1') == 1
    assert Checkpoint.load(tmp_path / 'model.ckpt').batch == 2
    code, out, err = run(*TORCHRUN, '--no-python', *train, '--batch', 3)
    assert code != 0
    assert err.count('selfocc train: a batch of 3 cannot be shared by 2 processes') == 1


def render(path):
    pytest.importorskip('embreex', reason='generated drives need embreex')
    from training.data.synthetic.drive import DriveConfig, render_drive

    config = DriveConfig(
        seed=5, seconds=0.9, width=64, height=36, samples_per_pixel=1,
        ground_truth=False, lidar=False,
    )  # fmt: skip
    render_drive(config, path)
    return path
