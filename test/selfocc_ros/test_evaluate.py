"""``selfocc evaluate``: no ROS is needed unless it goes through the node."""

from __future__ import annotations

import json

import pytest

pytest.importorskip('onnx')
from small_drive import write_small_drive

from selfocc_core.cli import main
from selfocc_core.errors import SelfOccError
from selfocc_ros.evaluate import Evaluate

SETS = 4


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    return write_small_drive(tmp_path_factory.mktemp('drive') / 'drive.mcap', SETS)


def test_a_drive_becomes_a_report(drive, mock_model, tmp_path):
    Evaluate(bag=drive, out=tmp_path / 'out', model=mock_model, threads=1).run()
    made = {path.name for path in (tmp_path / 'out').iterdir()}
    assert made == {'metrics.json', 'report.md', 'report.html', 'occupancy.mcap'}
    metrics = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert (metrics['frame_sets'], metrics['frames_published']) == (SETS, SETS)
    assert metrics['images_published'] == 6 * SETS
    assert 0 < metrics['inference_share'] < 1
    assert metrics['dropped'] == {}


@pytest.mark.ros
@pytest.mark.usefixtures('own_domain')
def test_through_the_node_it_is_the_same_drive(drive, mock_model, tmp_path):
    Evaluate(bag=drive, out=tmp_path / 'out', model=mock_model, through_node=True).run()
    metrics = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert (metrics['frame_sets'], metrics['frames_published']) == (SETS, SETS)
    assert metrics['inference_share'] is None
    assert (tmp_path / 'out' / 'node.log').is_file()


def test_bad_input_leaves_nothing(drive, tmp_path, capsys, mock_model):
    out = tmp_path / 'out'
    cases = [
        ['--bag', str(tmp_path / 'none.mcap')],
        ['--bag', str(drive), '--model', str(tmp_path / 'none.onnx')],
    ]
    for arguments in cases:
        assert main(['evaluate', *arguments, '--out', str(out)]) == 1
        assert capsys.readouterr().err.strip().startswith('selfocc evaluate: ')
    with pytest.raises(SelfOccError, match='leave it out with --through-node'):
        Evaluate(drive, out, mock_model, through_node=True, threads=2).run()
    assert not out.exists()
    assert not list(tmp_path.glob('.unfinished*'))
