from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from converted import refused
from small_trees import write_dgp, write_kitti_raw, write_nuscenes, write_semantic_kitti

from selfocc_core import cli
from selfocc_core.doctor.bag_check import check_bag
from selfocc_core.evaluation.drive import read_drive

ENTRY = 'selfocc_core.datasets.command:Convert'
TREES = {
    'nuscenes': write_nuscenes,
    'kitti-raw': write_kitti_raw,
    'semantickitti': write_semantic_kitti,
    'dgp': write_dgp,
}


@pytest.fixture(autouse=True)
def verbs(monkeypatch):
    monkeypatch.setattr(
        cli, 'entry_points', lambda group: [EntryPoint('convert', ENTRY, cli.GROUP)]
    )


def test_the_verb_is_one_of_the_program():
    assert f"'convert = {ENTRY}'" in (Path(__file__).parents[3] / 'setup.py').read_text()


@pytest.mark.parametrize('dataset', TREES)
def test_each_dataset_becomes_a_sound_drive(dataset, tmp_path, capsys):
    TREES[dataset](tmp_path / 'tree')
    out = tmp_path / 'drive.mcap'
    options = ['--from', dataset, '--root', str(tmp_path / 'tree'), '--out', str(out)]
    assert cli.main(['convert', *options]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith(f'{out}: ')
    assert 'Writing drive.mcap' in captured.err
    assert read_drive(out).trajectory is not None
    assert [finding for finding in check_bag(out) if finding.level == 'error'] == []


@pytest.mark.parametrize('dataset', TREES)
def test_what_is_no_tree_is_one_sentence(dataset, tmp_path, capsys):
    for root in (tmp_path, tmp_path / 'nowhere', Path(__file__)):
        out = tmp_path / 'drive.mcap'
        options = ['--from', dataset, '--root', str(root), '--out', str(out)]
        assert cli.main(['convert', *options]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f'selfocc convert: {root} is not a ')
        assert said.count('\n') == 1
        assert not out.exists()


def test_another_dataset_is_bad_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(['convert', '--from', 'waymo', '--root', str(tmp_path), '--out', 'x.mcap'])
    assert caught.value.code == 2
    assert 'kitti-raw' in capsys.readouterr().err


def test_names_in_tables_cannot_write_to_the_terminal(tmp_path, capsys):
    root = write_nuscenes(tmp_path / 'tree')
    path = root / 'v1.0-mini/scene.json'
    path.write_text(json.dumps([{'token': 'scene', 'name': '\x1b[31mred\nline'}]))
    said = refused('nuscenes', root, tmp_path, r'no drive "x": it has \?\[31mred\?line', 'x')
    assert said.isprintable()
    options = ['--from', 'nuscenes', '--root', str(root), '--out', str(tmp_path / 'd.mcap')]
    assert cli.main(['convert', *options]) == 0
    assert '\x1b' not in capsys.readouterr().out
