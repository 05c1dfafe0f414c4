from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from mock_model import DEPTH_M, write_mock_model

from selfocc_core import cli
from selfocc_core.evaluation.occupancy import OccupancyScores
from selfocc_core.evaluation.ray_iou import TrueHits
from selfocc_core.files import sha256_of
from selfocc_core.voxels import VoxelGrid, VoxelState
from training.benchmark import worlds
from training.benchmark.predictions import Prediction, resampled
from training.benchmark.recorded import read_world
from training.benchmark.scores import WorldScores, deviation_over, image_errors, mean_over
from training.benchmark.views import TrueView
from training.benchmark.worlds import cached_drive


@pytest.fixture(scope='module')
def recorded(cache, small_worlds):
    return read_world(cached_drive(5, small_worlds, cache), small_worlds.grid)


def scores_of(recorded, grid, predict):
    scores = WorldScores(recorded.rig, grid)
    for moment in recorded.moments:
        hits = TrueHits.of(moment.truth.occupancy, grid, np.array([0.94, 0.0, 1.84]))
        prediction = predict(moment.truth)
        scores.add(prediction, moment.truth, hits, dict(prediction.covered))
    return scores.summary()


def everywhere(truth):
    return {name: np.ones(view.depth_m.shape, bool) for name, view in truth.views.items()}


def perfect(truth):
    depth_m = {name: np.float64(view.depth_m) for name, view in truth.views.items()}
    return Prediction(truth.occupancy.occupied, depth_m, everywhere(truth))


def test_the_truth_itself_has_no_error(recorded, small_worlds):
    scores = scores_of(recorded, small_worlds.grid, perfect)
    depth, occupancy = scores['depth'], scores['occupancy']
    for region in (depth, depth['above_ground'], depth['everywhere']):
        assert region['abs_rel'] == region['median_rel'] == region['rmse'] == 0
        assert region['delta1'] == 1
    for name in ('iou', 'iou_obstacles', 'f_score_0_8m', 'ray_iou'):
        assert occupancy[name] == 1
    assert set(occupancy['by_range']) == {'0-10 m', '10-20 m', '20+ m', '0-12.8 m'}
    assert occupancy['by_range']['0-12.8 m'] == {'iou': 1.0, 'iou_obstacles': 1.0}


def test_only_what_stands_above_the_ground_counts_there(recorded, small_worlds):
    def ground_is_wrong(truth):
        said = perfect(truth)
        depth_m = {
            name: np.where(np.isin(view.label, [1, 2, 3]), 1.5 * view.depth_m, view.depth_m)
            for name, view in truth.views.items()
        }
        return Prediction(said.occupied, depth_m, said.covered)

    depth = scores_of(recorded, small_worlds.grid, ground_is_wrong)['depth']
    assert depth['abs_rel'] > 0.05
    assert depth['above_ground']['abs_rel'] == 0


def test_depth_beyond_the_volume_counts_everywhere_only(recorded, small_worlds):
    def far_is_wrong(truth):
        said = perfect(truth)
        depth_m = {name: np.minimum(depth, 40) for name, depth in said.depth_m.items()}
        return Prediction(said.occupied, depth_m, said.covered)

    depth = scores_of(recorded, small_worlds.grid, far_is_wrong)['depth']
    assert depth['abs_rel'] == 0
    assert depth['everywhere']['abs_rel'] > 0


def test_what_the_model_does_not_cover_is_not_scored(recorded, small_worlds):
    def nothing_covered(truth):
        covered = {name: ~mask for name, mask in everywhere(truth).items()}
        return Prediction(truth.occupancy.occupied, perfect(truth).depth_m, covered)

    depth = scores_of(recorded, small_worlds.grid, nothing_covered)['depth']
    assert depth['abs_rel'] is None
    assert depth['above_ground']['delta1'] is None


def test_errors_of_an_image():
    errors = image_errors(np.array([2.0, 3.0, 400.0]), np.array([2.0, 2.0, 40.0]))
    assert errors['abs_rel'] == pytest.approx((0 + 0.5 + 1) / 3)  # clamped to 80 m
    assert errors['median_rel'] == pytest.approx(0.5)
    assert errors['delta1'] == pytest.approx(1 / 3)


def test_mean_and_spread_over_worlds():
    of_worlds = [{'a': 1.0, 'b': {'c': None}}, {'a': 3.0, 'b': {'c': 4.0}}]
    assert mean_over(of_worlds) == {'a': 2.0, 'b': {'c': 4.0}}
    assert deviation_over(of_worlds) == {'a': pytest.approx(2**0.5), 'b': {'c': None}}


def test_another_grid_is_read_at_the_voxel_centres():
    coarse = VoxelGrid((0.0, 0.0, 0.0), (2.0, 2.0, 2.0), (2, 2, 2))
    fine = VoxelGrid((0.0, 0.0, 0.0), (2.0, 2.0, 4.0), (4, 4, 8))
    states = np.zeros(coarse.shape, np.uint8)
    states[1, 0, 1] = VoxelState.OCCUPIED
    found = resampled(states, coarse, fine)
    assert (found[2:, :2, 2:4] == VoxelState.OCCUPIED).all()
    assert (found == VoxelState.OCCUPIED).sum() == 8
    assert (found[:, :, 4:] == VoxelState.UNKNOWN).all()


@pytest.fixture
def program(monkeypatch, small_worlds):
    verb = EntryPoint('benchmark', 'training.benchmark.command:Benchmark', cli.GROUP)
    monkeypatch.setattr(cli, 'entry_points', lambda group: [verb])
    monkeypatch.setattr(worlds, 'WorldSettings', lambda: small_worlds)
    return lambda *arguments: cli.main(['benchmark', *map(str, arguments)])


@pytest.mark.slow
def test_from_the_command_line_to_json(program, tmp_path, cache, recorded, small_worlds, capsys):
    model = write_mock_model(tmp_path / 'mock.onnx')
    rival = write_mock_model(tmp_path / 'rival.onnx', threshold=1.0)
    out = tmp_path / 'scores.json'
    status = program(
        '--model', model, '--seeds', '5', '--map-seeds', '6,7', '--json', out, '--cache', cache,
        '--threads', 1, '--against', rival,
    )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0, captured.err
    result = json.loads(out.read_text())
    said = result['model']
    assert said['sha256'] == sha256_of(model)
    assert result['seeds'] == [5]
    assert result['worlds']['5']['moments'] == 2
    assert result['settings']['training_worlds'] == [6, 7]
    assert said['worlds']['5']['depth'] == said['depth']
    assert said['standard_deviation']['depth']['abs_rel'] is None
    assert 'leaves the volume' in result['settings']['protocol']['depth_infinity']
    assert list(result['baselines']) == [
        'rival', 'flat_ground', 'below_road', 'mean_map', 'mean_map_obstacles', 'median_depth',
    ]  # fmt: skip
    for name in ('mock', *result['baselines']):
        assert name in captured.out
    # The mock says that all is occupied below 0.1 m and 10 m deep: score that by other means.
    scores = OccupancyScores(small_worlds.grid)
    for moment in recorded.moments:
        below = small_worlds.grid.centers()[..., 2] <= 0.1
        scores.add(below, moment.truth.occupancy)
    assert said['occupancy']['iou'] == pytest.approx(scores.summary()['iou'], abs=0.02)
    assert said['depth']['rmse'] == pytest.approx(rmse_of_constant(recorded), rel=0.15)
    rival_scores = result['baselines']['rival']
    assert rival_scores['threshold'] == 1.0
    assert rival_scores['occupancy']['iou'] < said['occupancy']['iou']


def rmse_of_constant(recorded):
    def rmse(name, view: TrueView):
        depth_m = np.float64(view.depth_m)
        # Within the volume, but for the corners: less than 25 m deep and not the sky.
        chosen = (depth_m > 0.5) & (depth_m < 25)
        return np.sqrt(np.mean((depth_m[chosen] - DEPTH_M) ** 2))

    return np.mean(
        [rmse(name, view) for m in recorded.moments for name, view in m.truth.views.items()]
    )


def test_bad_options_are_one_sentence_each(program, tmp_path, cache, capsys):
    model = write_mock_model(tmp_path / 'mock.onnx')
    for arguments, words in [
        (['--seeds', 'all'], 'seeds "all" are not understood'),
        (['--seeds', '1,2', '--map-seeds', '2,3'], 'worlds in common'),
        (['--threads', '0'], '--threads must be at least 1'),
        (['--model', tmp_path / 'none.onnx'], 'there is no model at'),
        (['--against', model, model], 'two things named "mock"'),
    ]:
        options = arguments if '--model' in arguments else ['--model', model, *arguments]
        assert program(*options, '--cache', cache) == 1
        error = capsys.readouterr().err
        assert words in error
        assert len(error.strip().splitlines()) == 1
