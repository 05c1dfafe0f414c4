from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from selfocc_core.errors import SelfOccError
from training.grid import Axis
from training.parity.comparison import Comparison, relative_error
from training.parity.recording import Recording, grid_of, read_recording
from training.parity.rendering import (
    compare_all,
    compare_losses,
    recorded_variance,
    recorded_volume,
    render_volume,
)

RECORDED = Path(__file__).parents[4] / 'shared/data/parity'


@pytest.fixture(scope='module', params=['surround2', 'monocular'])
def recording(request) -> Recording:
    if not RECORDED.is_dir():
        pytest.skip('needs ../shared/data/parity')
    return read_recording(RECORDED / f'{request.param}.npz')


@pytest.mark.real_data
@pytest.mark.parametrize('phase', ['eval', 'train'])
def test_rendering_and_losses_agree_with_the_original(recording, phase):
    volume, variance = recorded_volume(recording, phase), recorded_variance(recording, phase)
    comparisons = list(compare_all(recording, phase, volume, variance))
    assert [c for c in comparisons if not c.agrees] == []
    names = {c.name for c in comparisons}
    assert len(names) == len(comparisons)
    recorded = {k for k in recording.arrays if k.startswith((f'{phase}/loss_', f'{phase}/d'))}
    assert {k for k in recorded if not k.endswith('_weighted')} <= names


@pytest.mark.real_data
def test_another_target_disagrees_where_colors_count(recording):
    volume, variance = recorded_volume(recording, 'eval'), recorded_variance(recording, 'eval')
    changed = dict(recording.arrays)
    changed['in/curr_imgs'] = 1 - changed['in/curr_imgs']
    altered = Recording(changed, recording.config)
    rendered = render_volume(altered, 'eval', volume, variance)
    disagreeing = {c.name for c in compare_losses(altered, 'eval', rendered) if not c.agrees}
    assert 'eval/loss_RGBLossMS' in disagreeing
    assert 'eval/loss_EikonalLoss' not in disagreeing


@pytest.mark.real_data
def test_an_unknown_loss_disagrees(recording):
    arrays = {**recording.arrays, 'eval/loss_Surprise': np.float32(1)}
    altered = Recording(arrays, recording.config)
    volume, variance = recorded_volume(altered, 'eval'), recorded_variance(altered, 'eval')
    comparisons = compare_losses(altered, 'eval', render_volume(altered, 'eval', volume, variance))
    assert [c.name for c in comparisons if not c.agrees] == ['eval/loss_Surprise']


@pytest.mark.parametrize(
    ('actual', 'expected', 'error'),
    [
        (np.array([1.0, 2.1]), np.array([1.0, 2.0]), 0.05),
        (np.array([0.5]), np.array([0.0]), 0.5),
        (np.array([np.nan]), np.array([1.0]), np.inf),
        (np.array([1.0]), np.array([np.nan]), np.inf),
        (np.array([np.inf, 1.0]), np.array([np.inf, 2.0]), 0.5),
        (np.zeros((1, 3)), np.zeros(3), 0.0),
        (np.zeros(3), np.zeros(4), np.inf),
        (np.array([True, False]), np.array([True, True]), 0.5),
    ],
)
def test_relative_error(actual, expected, error):
    assert relative_error(actual, expected) == pytest.approx(error)


def test_not_a_number_does_not_agree():
    assert not Comparison('name', float('nan')).agrees


def test_bad_files_are_told_in_one_sentence(tmp_path):
    path = tmp_path / 'bad.npz'
    path.write_bytes(b'nothing')
    with pytest.raises(SelfOccError, match='no recording'):
        read_recording(path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(SelfOccError, match='cfg_json'):
        read_recording(path)
    np.savez(path, cfg_json=json.dumps({}), o=np.array([object()]))
    with pytest.raises(SelfOccError, match='no recording'):
        read_recording(path)
    with pytest.raises(SelfOccError, match='no recording'):
        read_recording(tmp_path / 'absent.npz')


def test_what_a_recording_lacks_is_named():
    recording = Recording({}, {'model': {}})
    with pytest.raises(SelfOccError, match='in/imgs'):
        recording.tensor('in/imgs')
    with pytest.raises(SelfOccError, match=r'model\.head'):
        recording.setting('model', 'head', 'num_samples')


def test_grids_of_every_mapping():
    mapping = {
        'nonlinear_mode': 'linear_upscale',
        'h_size': [4, 2],
        'h_range': [2.0, 3.0],
        'h_half': True,
        'w_size': [8, 0],
        'w_range': [40.0, 0],
        'w_half': False,
        'd_size': [4, 2],
        'd_range': [-1.0, 3.0, 6.0],
    }
    grid = grid_of(mapping)
    assert grid.x == Axis(8, 40.0, outer_growth='linear')
    assert grid.y == Axis(4, 2.0, 2, 3.0, symmetric=False, outer_growth='linear')
    assert grid.z.high_m == 6.0
    assert grid.nodes == (17, 7, 7)
