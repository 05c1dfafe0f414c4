"""The demonstration from end to end, with a drive that takes no time to make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
from small_drive import write_small_drive

from selfocc_core.cli import main
from selfocc_core.errors import SelfOccError
from selfocc_ros import demo
from selfocc_ros.demo import Demo

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures('own_domain')]

NUSCENES = Path(__file__).parents[3] / 'shared' / 'data' / 'real' / 'nuscenes'


@pytest.fixture
def ready_drive(monkeypatch):
    """Replaces the renderer, which has tests of its own, by a drive of plain images."""
    monkeypatch.setattr(Demo, '_make_drive', lambda self, drive: write_small_drive(drive, 5))


def test_the_demo_leaves_report_metrics_and_recording(tmp_path, mock_model, ready_drive, capsys):
    out = tmp_path / 'out' / 'demo'
    Demo(out=out, model=mock_model).run()
    metrics = json.loads((out / 'metrics.json').read_text())
    assert metrics['frames_in'] == metrics['frames_published'] == 5
    assert metrics['backend'] == 'onnxruntime-cpu'
    assert metrics['latency_ms_p95'] >= metrics['latency_ms_p50'] > 0
    made = {'drive.mcap', 'rig.yaml', 'occupancy.mcap', 'metrics.json', 'node.log'}
    made |= {'report.html', 'report.md'}
    assert {path.name for path in out.iterdir()} == made
    assert [path.name for path in out.parent.iterdir()] == ['demo']
    assert 'report.html' in capsys.readouterr().out


def test_other_files_in_the_folder_stay(tmp_path, mock_model, ready_drive):
    (tmp_path / 'notes.txt').write_text('mine')
    Demo(out=tmp_path, model=mock_model).run()
    assert (tmp_path / 'notes.txt').read_text() == 'mine'


def test_a_missing_model_is_one_sentence_and_leaves_nothing(tmp_path, capsys):
    out = tmp_path / 'demo'
    assert main(['demo', '--model', str(tmp_path / 'no.onnx'), '--out', str(out)]) == 1
    assert 'there is no model at' in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_drive_that_cannot_be_used_leaves_nothing(tmp_path, mock_model, monkeypatch):
    monkeypatch.setattr(Demo, '_make_drive', lambda self, drive: drive.write_bytes(b'\x89MCAP'))
    with pytest.raises(SelfOccError, match='truncated or not a rosbag2'):
        Demo(out=tmp_path / 'demo', model=mock_model).run()
    assert not any(tmp_path.iterdir())


def test_without_ros_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(demo.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(SelfOccError, match='source a ROS 2 installation'):
        Demo(out=tmp_path).run()


@pytest.mark.real_data
@pytest.mark.skipif(not NUSCENES.is_dir(), reason='the real driving data is not here')
def test_the_demo_on_real_images(tmp_path, mock_model):
    Demo(out=tmp_path, model=mock_model, nuscenes=NUSCENES).run()
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['frames_in'] == metrics['frames_published'] == 1
    assert metrics['images_published'] == 6
    assert metrics['depth_abs_rel'] > 0
