from __future__ import annotations

import json
import re

import numpy as np
import pytest
from handmade_drive import GRID, STAMPS_NS, statistics, write_drive, write_recording
from mock_model import write_mock_model

from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.replay_report import write_report
from selfocc_core.evaluation.scoring import ScoringOptions, score_drive
from selfocc_core.model_card import ModelCard


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return write_mock_model(
        tmp_path_factory.mktemp('model') / 'mock.onnx', height=36, width=64, grid_shape=GRID.shape
    )


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    return write_drive(tmp_path_factory.mktemp('drive') / 'drive.mcap')


@pytest.fixture(scope='module')
def recording(tmp_path_factory):
    return write_recording(tmp_path_factory.mktemp('recording') / 'occupancy.mcap')


def scores_of(drive, recording, model):
    card = ModelCard.load_for(model)
    return score_drive(read_drive(drive), recording, card, ScoringOptions(0.0))[1]


def test_occupancy_scores_of_a_node_that_knows_the_road_only(drive, recording, model):
    scores = scores_of(drive, recording, model)['occupancy']
    road, block = 32 * 32, 3 * 4 * 5
    assert scores['moments'] == len(STAMPS_NS)
    assert scores['precision'] == 1.0
    assert scores['iou'] == pytest.approx(road / (road + block))
    assert scores['obstacles'] == {'iou': 0.0, 'precision': None, 'recall': 0.0}
    assert scores['baselines']['flat_ground']['iou'] == scores['iou']


def test_depth_of_a_perfect_node_is_perfect_and_of_a_scaled_one_is_not(drive, tmp_path, model):
    scores = scores_of(drive, write_recording(tmp_path / 'a.mcap'), model)['depth']
    assert scores['truth'] == 'ground_truth'
    assert scores['images'] == 18
    assert scores['abs_rel'] < 1e-5
    scores = scores_of(drive, write_recording(tmp_path / 'b.mcap', depth_scale=1.1), model)[
        'depth'
    ]
    assert scores['in_volume']['abs_rel'] == pytest.approx(0.1, rel=1e-3)
    protocols = {name: of['abs_rel'] for name, of in scores['protocols'].items()}
    assert min(protocols['metric'], protocols['nuscenes']) > 0.05
    assert protocols['metric_scaled'] < 0.3 * protocols['metric']  # scaling undoes the scale
    assert scores['baselines']['flat_ground']['in_volume']['abs_rel'] < 1e-4


def test_lidar_scores_the_depth_where_nothing_better_is_known(tmp_path, recording, model):
    """The cloud is 40 ms late and in its own frame: mounting and motion must be right."""
    path = write_drive(tmp_path / 'drive.mcap', voxels=False, depth=False, lidar=True)
    scores = scores_of(path, recording, model)['depth']
    assert scores['truth'] == 'lidar'
    assert scores['images'] == 18
    # The plane is not linear in the image, so that bilinear sampling of 64 pixels errs a little.
    assert scores['in_volume']['abs_rel'] < 0.02
    assert scores['in_volume']['delta_1'] > 0.99
    baseline = scores['baselines']['flat_ground']['in_volume']
    assert baseline['abs_rel'] < 1e-4


def test_report_has_the_promised_fields(tmp_path, model, drive, recording):
    metrics = write_report(drive, recording, statistics(model), tmp_path / 'out')
    assert json.loads((tmp_path / 'out' / 'metrics.json').read_text()) == metrics
    assert metrics['frames_in'] == metrics['frames_published'] == 3
    assert metrics['latency_ms_p50'] == 110.0
    assert 110.0 < metrics['latency_ms_p95'] <= 120.0
    assert 0.9 < metrics['occupancy_iou'] < 1.0
    assert metrics['depth_abs_rel'] < 1e-5
    assert (metrics['backend'], metrics['model']) == ('onnxruntime-cpu', 'mock')
    assert metrics['machine']['cores'] >= 1


def test_report_is_one_file_that_loads_nothing(tmp_path, model, drive, recording):
    write_report(drive, recording, statistics(model), tmp_path / 'out')
    files = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert files == ['metrics.json', 'report.html', 'report.md']
    html = (tmp_path / 'out' / 'report.html').read_text()
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert '<script' not in html
    assert html.count('<img') == 3 * 9
    assert html.count('Moment ') == 3
    for word in ('Occupancy IoU', 'flat ground', 'AbsRel', 'p95', 'Model card', 'True depth'):
        assert word in html


def test_the_markdown_has_the_numbers_of_the_json(tmp_path, model, drive, recording):
    metrics = write_report(drive, recording, statistics(model), tmp_path / 'out')
    text = (tmp_path / 'out' / 'report.md').read_text()
    tables = [line.split('|')[1:-1] for line in text.splitlines() if line.startswith('|')]
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in tables}
    assert rows['everything'][0] == f'{metrics["occupancy"]["iou"]:.3f}'
    assert rows['model, in the volume'][0] == f'{metrics["depth"]["in_volume"]["abs_rel"]:.3f}'
    assert 'too short for intervals' in text
    assert all(len(row) == len(tables[0]) for row in tables[:4])


def test_without_truth_the_report_says_so(tmp_path, model, recording):
    drive = write_drive(tmp_path / 'drive.mcap', voxels=False, depth=False)
    metrics = write_report(drive, recording, statistics(model), tmp_path / 'out')
    assert metrics['occupancy_iou'] is metrics['depth_abs_rel'] is None
    assert metrics['occupancy'] is metrics['depth'] is None
    html = (tmp_path / 'out' / 'report.html').read_text()
    assert 'no true voxels' in html
    assert 'no true depth' in html


def test_a_node_that_published_nothing_is_reported(tmp_path, model, drive):
    recording = write_recording(tmp_path / 'recording.mcap', frames=0)
    metrics = write_report(drive, recording, statistics(model, frames=0), tmp_path / 'out')
    assert (metrics['frames_published'], metrics['latency_ms_p50']) == (0, None)
    assert metrics['dropped'] == {'too slow': 3}
    assert metrics['occupancy_iou'] is None
    assert 'too slow' in (tmp_path / 'out' / 'report.html').read_text()


def test_names_are_escaped(tmp_path, model, drive, recording):
    renamed = tmp_path / '<script>alert(1)<' / 'x.mcap'
    renamed.parent.mkdir()
    renamed.write_bytes(drive.read_bytes())
    bad = statistics(model)
    object.__setattr__(bad, 'backend', '<script>')
    object.__setattr__(bad, 'dropped', {'<script>': 1})
    write_report(renamed, recording, bad, tmp_path / 'out')
    assert '<script' not in (tmp_path / 'out' / 'report.html').read_text()


def test_bad_input_leaves_no_report(tmp_path, model, drive, recording):
    broken = tmp_path / 'broken.mcap'
    broken.write_bytes(recording.read_bytes()[:2000])
    out = tmp_path / 'out'
    with pytest.raises(SelfOccError, match=r'broken\.mcap is truncated'):
        write_report(drive, broken, statistics(model), out)
    with pytest.raises(SelfOccError, match='there is no bag'):
        write_report(tmp_path / 'none.mcap', recording, statistics(model), out)
    with pytest.raises(SelfOccError, match='there is no model'):
        write_report(drive, recording, statistics(tmp_path / 'none.onnx'), out)
    assert not out.exists()


def test_drive_knows_the_motion(drive):
    motion = read_drive(drive).motion(STAMPS_NS[1], STAMPS_NS[0])
    np.testing.assert_allclose(np.linalg.norm(motion[:3, 3]), 2.0, atol=1e-6)
    np.testing.assert_allclose(read_drive(drive).motion(5, 5), np.eye(4))


def test_without_any_truth_the_video_and_the_moments_are_compared(tmp_path, model, recording):
    """Three moments of a vehicle that drives: flat ground is what the mock node saw, too."""
    path = write_drive(tmp_path / 'drive.mcap', voxels=False, depth=False)
    card = ModelCard.load_for(model)
    _, scores = score_drive(read_drive(path), recording, card, ScoringOptions(0.0))
    assert scores['depth'] is scores['occupancy'] is None
    temporal = scores['consistency']['temporal']
    assert temporal['iou'] == pytest.approx(1.0)
    assert set(scores['consistency']['photometric']) >= {'model', 'flat_ground', 'no_motion'}
