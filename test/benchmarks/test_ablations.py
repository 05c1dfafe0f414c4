from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip('tyro')
sys.path.insert(0, str(Path(__file__).parents[2] / 'benchmarks'))
import ablations
from ablations import ROWS, Run, Settings

from selfocc_core.errors import SelfOccError
from training.checkpoint import differences
from training.presets import PRESETS


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(runs=tmp_path / 'runs', out=tmp_path / 'out', steps=7)


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.name)
def test_every_row_changes_its_preset_and_nothing_else(row, settings):
    run = Run(row, 3, settings)
    preset = run.preset()
    changed = {text.split()[0] for text in differences(preset, PRESETS[row.preset])}
    options = {o.removeprefix('--config.') for o in row.options if o.startswith('--config.')}
    named = {
        '.'.join(p.removeprefix('no-') for p in o.split('.')).replace('-', '_') for o in options
    }
    assert changed == named | {'optimizer.steps'}
    assert preset.optimizer.steps == 7
    assert '--seed 3' in ' '.join(run.train())


def test_rows_have_names_of_their_own_and_share_checkpoints_of_the_same_training():
    by_name = {row.name: row for row in ROWS}
    assert len(by_name) == len(ROWS)
    for row in ROWS:
        if row.trained_as is not None:
            same = by_name[row.trained_as]
            assert (row.options, row.preset) == (same.options, same.preset)
            assert row.measured != same.measured


def scores(value, near=None):
    return {
        'threshold': 0.2,
        'depth': {'abs_rel': value, 'delta1': 0.5, 'median_rel': 0.1},
        'occupancy': {
            'iou': 0.3,
            'iou_obstacles': value / 2,
            'by_range': {'0-12.8 m': {'iou_obstacles': near}},
            'f_score_0_8m': 0.4,
            'ray_iou': 0.2,
        },
        'worlds': {},
    }


class FakeProgram:
    """Trains by writing files; remembers what it was asked for."""

    def __init__(self, failing=''):
        self.calls, self.failing = [], failing

    def __call__(self, arguments):
        self.calls.append(list(arguments))
        values = dict(pairwise(arguments))
        if arguments[0] == 'train':
            if self.failing and self.failing in values['--out']:
                return 3
            folder = Path(values['--out'])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / 'model.ckpt').touch()
            (folder / 'log.jsonl').write_text('{"step": 7, "seconds": 12.5}\n')
        else:
            assert Path(values['--model']).exists()
            seed = int(Path(values['--model']).parent.name.rpartition('-seed')[2])
            result = {'model': scores(0.2 + 0.1 * seed), 'baselines': {'flat': scores(1.0)}}
            path = Path(values['--json'])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result))
        return 0

    def verbs(self):
        return [call[0] for call in self.calls]


def runs_of(settings, *names, seeds=(0,)):
    rows = ablations.rows_named(','.join(names))
    return [Run(row, seed, settings) for seed in seeds for row in rows]


def test_what_is_done_is_skipped_and_what_is_half_trained_goes_on(settings, capsys):
    runs, program = runs_of(settings, 'base', 'bev'), FakeProgram()
    runs[1].checkpoint.parent.mkdir(parents=True)
    runs[1].checkpoint.touch()
    assert ablations.perform_all(runs, program) == []
    assert program.verbs() == ['train', 'benchmark'] * 2
    assert [call[-1] == '--resume' for call in program.calls] == [False, False, True, False]
    record = json.loads((runs[1].folder / 'run.json').read_text())
    assert record['train'].startswith('selfocc train --preset selfocc-tiny ')
    assert record['train'].endswith('--config.model.encoder.view bev')
    assert record['training_seconds'] == 12.5
    config = json.loads((runs[1].folder / 'config.json').read_text())
    assert config['model']['encoder']['view'] == 'bev'
    assert (runs[1].folder / 'log.jsonl').exists()
    again = FakeProgram()
    assert ablations.perform_all(runs, again) == []
    assert again.calls == []
    assert '2 runs, 2 of them done' in capsys.readouterr().out


def test_a_record_of_another_configuration_is_refused(settings):
    (run,) = runs_of(settings, 'base')
    ablations.perform(run, FakeProgram())
    config = json.loads((run.folder / 'config.json').read_text())
    config['losses']['eikonal'] = 0.7
    (run.folder / 'config.json').write_text(json.dumps(config))
    with pytest.raises(SelfOccError, match=r'losses\.eikonal 0\.7 instead of'):
        ablations.perform_all([run], FakeProgram())


def test_a_record_of_another_measurement_is_refused(settings):
    (run,) = runs_of(settings, 'base')
    ablations.perform(run, FakeProgram())
    other = Settings(settings.runs, settings.runs, settings.out, worlds='1,2', steps=7)
    with pytest.raises(SelfOccError, match='other commands'):
        Run(run.row, run.seed, other).is_done()


def test_a_failure_does_not_stop_the_others(settings, capsys):
    runs = runs_of(settings, 'base', 'bev', 'density')
    assert ablations.perform_all(runs, FakeProgram(failing='bev-seed0')) == ['bev, seed 0']
    assert [run.is_done() for run in runs] == [True, False, True]
    assert 'bev, seed 0 failed with status 3: selfocc train' in capsys.readouterr().err


def test_the_table_has_mean_and_spread_over_seeds(settings):
    ablations.perform_all(runs_of(settings, 'base', 'bev', seeds=(0, 1)), FakeProgram())
    table = json.loads((settings.out / 'table.json').read_text())
    assert list(table['rows']) == ['base', 'bev']
    base = table['rows']['base']
    assert base['seeds'] == [0, 1]
    assert base['steps'] == [7]
    assert base['scores']['abs_rel ↓']['mean'] == pytest.approx(0.25)
    assert base['scores']['abs_rel ↓']['spread'] == pytest.approx(0.1 / 2**0.5)
    assert base['scores']['IoU obstacles ↑']['values'] == pytest.approx([0.1, 0.15])
    assert base['scores']['obstacles < 12.8 m ↑']['mean'] is None
    text = (settings.out / 'table.md').read_text()
    line = next(line for line in text.splitlines() if line.startswith('| base'))
    assert line.startswith('| base | 0.250 ± 0.071 | 0.500 ± 0.000 |')
    assert '| – |' in line
    assert 'states of the code' not in text
    path = settings.out / 'bev' / 'seed1' / 'run.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'code_sha256': 'another'}))
    ablations.write_table(settings.out)
    assert 'of 2 states of the code' in (settings.out / 'table.md').read_text()


def test_one_seed_has_no_spread():
    assert ablations.spread_over([0.5]) == {'mean': 0.5, 'spread': None, 'values': [0.5]}
    assert ablations.spread_over([None])['mean'] is None


def test_training_time_counts_resumed_parts():
    seconds = [10.0, 20.0, 5.0, 15.0]
    log = ''.join(json.dumps({'step': i, 'seconds': s}) + '\n' for i, s in enumerate(seconds))
    assert ablations.trained_seconds(log) == 35.0
    assert ablations.trained_seconds('') == 0


def test_large_results_lose_the_scores_of_each_world():
    small = {'model': scores(0.1), 'baselines': {'flat': scores(0.2)}}
    assert ablations.trimmed(small) is small
    large = {'model': scores(0.1) | {'worlds': {'1': 'x' * 200_000}}, 'baselines': {}}
    assert 'worlds' not in ablations.trimmed(large)['model']
    assert ablations.trimmed(large)['model']['depth'] == large['model']['depth']


def test_time_left():
    assert ablations.time_left([], 3) == 'time left not known yet'
    assert ablations.time_left([3600, 1800], 3) == 'about 2:15 h left'


def test_unknown_rows_are_named():
    with pytest.raises(SelfOccError, match='no row "tpv": choose of base,bev'):
        ablations.rows_named('tpv')
