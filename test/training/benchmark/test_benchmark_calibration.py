from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch
from mock_model import write_mock_model

from selfocc_core import cli
from selfocc_core.backends import open_backend
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.occupancy import OccupancyScores
from selfocc_core.files import sha256_of
from training.benchmark import worlds
from training.benchmark.calibration import Calibrated, calibrate, sweep
from training.benchmark.predictions import ModelPredictor
from training.benchmark.recorded import read_world, seen_by
from training.benchmark.torch_backend import TorchBackend, model_name
from training.benchmark.worlds import cached_drive
from training.checkpoint import Checkpoint
from training.deployed import DeployedModel
from training.export_parity import example_inputs
from training.model.selfocc import SelfOcc


def iou(levels, true, threshold):
    claimed = levels <= threshold
    return (claimed & true).sum() / (claimed | true).sum()


def test_the_sweep_finds_the_best_of_all_thresholds():
    random = np.random.default_rng(0)
    true = random.random(400) < 0.2
    levels = np.float32(np.round(random.normal(np.where(true, -0.5, 0.5), 0.6), 1))
    levels[:20] = np.inf  # unknown to the model
    found = sweep(levels, true, own_threshold=-0.3)
    finite = levels[np.isfinite(levels)]
    assert found.iou_obstacles == pytest.approx(max(iou(levels, true, t) for t in finite))
    assert iou(levels, true, found.threshold) == pytest.approx(found.iou_obstacles)
    assert found.own_iou_obstacles == pytest.approx(iou(levels, true, np.float32(-0.3)))


def test_equal_levels_stand_or_fall_together():
    found = sweep(np.zeros(4, np.float32), np.array([True, False, False, False]), -1.0)
    assert found.threshold == 0
    assert found.iou_obstacles == 0.25
    assert found.own_iou_obstacles == 0


@pytest.mark.parametrize(
    ('level', 'obstacle'), [(0.0, False), (np.inf, True)], ids=['no obstacle', 'nothing known']
)
def test_without_obstacles_there_is_nothing_to_calibrate(level, obstacle):
    with pytest.raises(SelfOccError, match='give other --calibration-seeds'):
        sweep(np.full(4, level, np.float32), np.full(4, obstacle), 0.0)


def test_a_calibrated_model_scores_what_the_sweep_says(tmp_path, cache, small_worlds):
    """By the benchmark's own path: pipeline, states, confusion."""
    path, grid = cached_drive(5, small_worlds, cache), small_worlds.grid
    backend = open_backend(write_mock_model(tmp_path / 'mock.onnx', threshold=0.0), 1)
    found = calibrate(backend, {5: path}, grid)
    recorded = read_world(path, grid)
    for model, expected in (
        (backend, found.own_iou_obstacles),
        (Calibrated(backend, found.threshold), found.iou_obstacles),
    ):
        predictor = ModelPredictor(model, recorded.rig, recorded.trajectory, grid)
        scores = OccupancyScores(grid)
        for moment in recorded.moments:
            scores.add(predictor.predict(moment.frame_set).occupied, moment.truth.occupancy)
        assert scores.summary()['obstacles']['iou'] == pytest.approx(expected)
    assert found.iou_obstacles >= found.own_iou_obstacles


def test_some_cameras_see_a_part_of_a_world(cache, small_worlds):
    grid = small_worlds.grid
    world = read_world(cached_drive(5, small_worlds, cache), grid)
    front = seen_by(world, ['front'], grid)
    assert front.rig.names == ('front',)
    for moment, whole in zip(front.moments, world.moments, strict=True):
        assert set(moment.frame_set.frames) == set(moment.truth.views) == {'front'}
        visible = moment.truth.occupancy.visible
        assert 0 < visible.sum() < 0.5 * whole.truth.occupancy.visible.sum()
        assert (visible & ~whole.truth.occupancy.visible).sum() == 0
        assert not visible[grid.centers()[..., 0] < 0].any()
    assert seen_by(world, [], grid) is world
    with pytest.raises(SelfOccError, match='no camera "top": choose front'):
        seen_by(world, ['top'], grid)


@pytest.fixture
def checkpoint(tmp_path, small_preset):
    """Save an untrained network of a preset and return the file."""

    def save(name, preset=small_preset):
        torch.manual_seed(0)
        network = SelfOcc(preset.model)
        path = tmp_path / name / 'model.ckpt'
        Checkpoint(preset, 0, 0, 'none', 'none', network.state_dict(), {}).save(path)
        return path

    return save


def density_of(preset):
    return replace(
        preset,
        losses=replace(preset.losses, eikonal=0.0, hessian=0.0),
        render=replace(preset.render, weights='density'),
    )


@torch.no_grad()
def test_a_checkpoint_gives_what_export_would_write(checkpoint, small_preset):
    """The model that export writes, and checks against ONNX Runtime itself."""
    path = checkpoint('run')
    network = SelfOcc(small_preset.model)
    network.load_state_dict(Checkpoint.load(path).model)
    inputs = example_inputs(6, 32, 64, seed=3)
    sdf, depth = DeployedModel(network, small_preset).eval()(
        *(torch.from_numpy(array) for array in vars(inputs).values())
    )
    backend = TorchBackend(path, 1)
    np.testing.assert_array_equal(backend.infer(inputs).sdf, sdf)
    np.testing.assert_array_equal(backend.infer(inputs).depth, depth)
    assert backend.card.onnx_sha256 == sha256_of(path)
    assert backend.card.grid.to_grid() == small_preset.output.grid
    assert backend.card.threshold == small_preset.output.occupied_below_m


def test_a_density_is_measured_by_its_opacity(checkpoint, small_preset):
    preset = density_of(small_preset)
    backend = TorchBackend(checkpoint('fog', preset), 1)
    assert backend.card.threshold == -preset.output.occupied_above_opacity
    assert backend.card.name == 'fog'
    level = backend.infer(example_inputs(6, 32, 64)).sdf
    assert level.min() >= -1
    assert level.max() <= 0
    # Untrained, it is the ground plane.
    heights = preset.output.grid.axis_centers(2)
    assert level[:, :, heights < -0.4].mean() < -0.9
    assert level[:, :, heights > 1].mean() > -0.1


def test_a_model_is_named_after_its_run(tmp_path):
    assert model_name(tmp_path / 'mine' / 'model.ckpt') == 'mine'
    assert model_name(tmp_path / 'mine' / 'early.ckpt') == 'early'
    assert model_name(tmp_path / 'model.onnx') == 'model'


@pytest.fixture
def program(monkeypatch, small_worlds):
    verb = EntryPoint('benchmark', 'training.benchmark.command:Benchmark', cli.GROUP)
    monkeypatch.setattr(cli, 'entry_points', lambda group: [verb])
    monkeypatch.setattr(worlds, 'WorldSettings', lambda: small_worlds)
    return lambda *arguments: cli.main(['benchmark', *map(str, arguments)])


@pytest.mark.slow
def test_checkpoints_are_measured_and_calibrated(
    program, checkpoint, small_preset, cache, small_worlds, tmp_path, capsys
):
    out = tmp_path / 'scores.json'
    cached_drive(6, small_worlds, cache)
    status = program(
        '--model', checkpoint('mine'), '--against', checkpoint('fog', density_of(small_preset)),
        '--seeds', '5', '--map-seeds', '6,7', '--calibration-seeds', '6', '--cache', cache,
        '--calibrate', 'rivals', '--cameras', 'front', 'back', '--threads', 1, '--json', out,
    )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0, captured.err
    result = json.loads(out.read_text())
    assert result['model']['name'] == 'mine'
    assert result['model']['threshold'] == small_preset.output.occupied_below_m
    assert result['cameras'] == ['front', 'back']
    assert result['calibration']['seeds'] == [6]
    fog = result['calibration']['models']['fog']
    assert list(result['calibration']['models']) == ['fog']
    assert result['baselines']['fog']['threshold'] == fog['threshold'] != fog['own_threshold']
    assert fog['iou_obstacles'] >= fog['own_iou_obstacles']


def test_a_threshold_does_not_know_what_it_is_measured_on(program, tmp_path, cache, capsys):
    model = write_mock_model(tmp_path / 'mock.onnx')
    shared = ['--seeds', '5', '--calibration-seeds', '4,5', '--calibrate', 'all']
    assert program('--model', model, *shared, '--cache', cache) == 1
    assert 'a threshold must not know what it is measured on' in capsys.readouterr().err
    assert program('--model', model, '--seeds', '5', '--calibrate', 'rivals') == 1
    assert 'name rivals with --against' in capsys.readouterr().err
    assert program('--model', tmp_path / 'none.ckpt', '--cache', cache) == 1
    assert 'there is no checkpoint' in capsys.readouterr().err
