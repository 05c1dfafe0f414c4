"""The verb where there is no ROS."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_drive import small_rig, write_small_drive

from selfocc_core import cli
from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_ros.doctor import command
from selfocc_ros.doctor.command import Doctor


@pytest.fixture
def rig_file(tmp_path):
    small_rig().to_yaml(tmp_path / 'rig.yaml')
    return tmp_path / 'rig.yaml'


def test_a_rig_is_checked_with_the_shipped_model(rig_file, capsys):
    Doctor(rig=rig_file).run()
    out = capsys.readouterr().out
    assert 'OK    coverage: the cameras see ' in out
    assert out.endswith('rig.yaml: no errors, no warnings\n')


def test_the_first_error_is_the_exit(tmp_path, capsys):
    rig = small_rig()
    flipped = [
        replace(c, ego_from_camera=c.ego_from_camera @ np.diag([-1, -1, 1, 1])) for c in rig
    ]
    Rig(tuple(flipped)).to_yaml(tmp_path / 'rig.yaml')
    file = tmp_path / 'findings.json'
    arguments = ['doctor', '--rig', str(tmp_path / 'rig.yaml'), '--json', str(file)]
    assert cli.main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith('selfocc doctor: camera front: its image is upside down')
    assert 'ERROR camera front: its image is upside down' in printed.out
    content = json.loads(file.read_text())
    assert [f['level'] for f in content['findings']].count('error') == 6


def test_a_bag_is_checked_alone_and_with_a_rig(tmp_path, rig_file, mock_model, capsys):
    drive = write_small_drive(tmp_path / 'drive.mcap')
    assert cli.main(['doctor', '--bag', str(drive)]) == 0
    assert 'of 10 are complete, of 6 cameras' in capsys.readouterr().out
    few = tmp_path / 'few.yaml'
    Rig(small_rig().cameras[:2]).to_yaml(few)
    with_rig = ['doctor', '--bag', str(drive), '--rig', str(few), '--model', str(mock_model)]
    assert cli.main(with_rig) == 0
    assert 'rig: 2 cameras for the 6 of model mock' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        ({'model': Path('m.onnx')}, '--model needs --bag or --rig'),
        ({'seconds': 0.0}, '--seconds must be more than 0'),
        ({'seconds': float('nan')}, '--seconds must be more than 0'),
        ({'node': 'surround'}, '--node surround is not a full name'),
    ],
)
def test_options_without_meaning_are_refused(options, sentence):
    with pytest.raises(SelfOccError, match=sentence):
        Doctor(**options).run()


def test_a_running_node_needs_ros(monkeypatch):
    monkeypatch.setattr(command.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(SelfOccError, match='there is no rclpy to look at a running node'):
        Doctor().run()


def test_rigs_and_bags_need_no_ros(rig_file):
    code = (
        'import sys; sys.modules["rclpy"] = None\n'
        'from pathlib import Path\n'
        'from selfocc_ros.doctor.command import Doctor\n'
        f'Doctor(rig=Path({str(rig_file)!r})).run()'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert 'no errors' in done.stdout
