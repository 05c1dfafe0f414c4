"""The whole of ``python -m training.parity`` on recordings of the original."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from training.parity.__main__ import compare, main
from training.parity.network import RecordedNetwork
from training.parity.recording import Recording, read_recording

RECORDED = Path(__file__).parents[4] / 'shared/data/parity'


@pytest.fixture(params=['surround2', 'monocular'])
def recorded(request) -> Path:
    if not RECORDED.is_dir():
        pytest.skip('needs ../shared/data/parity')
    return RECORDED / f'{request.param}.npz'


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr('sys.argv', ['parity', *map(str, arguments)])
    return main()


@pytest.mark.real_data
def test_everything_recorded_is_reproduced(recorded, monkeypatch, capsys):
    assert run(monkeypatch, recorded, '--json') == 0
    report = json.loads(capsys.readouterr().out)
    assert report['agrees']
    compared = {entry['name'] for entry in report['comparisons']}
    assert len(compared) >= 245
    assert report['not_compared'] == []
    recording = read_recording(recorded)
    assert {key for key in recording.arrays if key.startswith('grad/')} <= compared


@pytest.mark.real_data
def test_a_wrong_weight_disagrees(recorded):
    recording = read_recording(recorded)
    name = 'w/encoder.layers.1.attentions.0.value_proj.weight'
    changed = {**recording.arrays, name: 1.01 * recording.array(name)}
    wrong = {c.name for c in compare(Recording(changed, recording.config)) if not c.agrees}
    assert 'eval/volume' in wrong
    assert 'eval/fpn_0' not in wrong


@pytest.mark.real_data
def test_a_recording_with_a_backbone_runs_it(recorded):
    recording = read_recording(recorded)
    torch.manual_seed(0)
    network = RecordedNetwork(recording).model
    weights = {
        f'w/img_backbone.{name}': value.numpy()
        for name, value in network.backbone.state_dict().items()
    }
    network.eval()
    with torch.no_grad():
        features = network.backbone(recording.tensor('in/imgs')[0])
    own = {f'eval/backbone_{i}': feature[None].numpy() for i, feature in enumerate(features)}
    with_backbone = Recording({**recording.arrays, **weights, **own}, recording.config)
    comparisons = {c.name: c for c in RecordedNetwork(with_backbone).compare_network('eval')}
    assert all(comparisons[name].agrees for name in own)
    assert not comparisons['eval/fpn_0'].agrees  # recorded with another backbone


@pytest.mark.parametrize('damage', ['absent', 'text', 'truncated', 'other arrays', 'objects'])
def test_what_is_no_recording_gives_one_sentence(damage, tmp_path, monkeypatch, capsys):
    path = tmp_path / 'file.npz'
    if damage == 'text':
        path.write_text('hello')
    elif damage == 'truncated':
        np.savez(path, cfg_json=np.array('{}'), a=np.zeros(1000))
        path.write_bytes(path.read_bytes()[:500])
    elif damage == 'other arrays':
        np.savez(path, cfg_json=np.array('{}'), a=np.zeros(3))
    elif damage == 'objects':
        np.savez(path, cfg_json=np.array([{}], dtype=object))
    assert run(monkeypatch, path) == 1
    error = capsys.readouterr().err
    assert error.startswith('training.parity: ')
    assert error.count('\n') == 1
