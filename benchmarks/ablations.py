"""Ablations: the base preset with one thing changed at a time, some seeds each, one table.

    python benchmarks/ablations.py --list                 # rows and the commands they stand for
    python benchmarks/ablations.py --seeds 0,1
    python benchmarks/ablations.py --rows base,bev --steps 500 --out runs/quick-ablations

Each row is a set of options of ``selfocc train``; each run of it is trained on the same drives,
measured from its checkpoint by ``selfocc benchmark`` on the validation worlds, and recorded in a
folder of its own with its commands, its configuration, its training log and its scores. With
``--calibrate all``, the default, every run gets the occupancy threshold that is best in training
worlds, so that none is judged by a threshold that was chosen for another.

What is recorded is skipped, what is half trained goes on. A record of another configuration is
refused by name. The table is made of all records in the output folder. Leave the code as it is
while runs are going on: each of them starts it anew. A record has a hash of the code it is of.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.machine import this_machine
from selfocc_core.files import read_text, write_atomically
from training.config import Preset

BASE = 'selfocc-tiny'
FRONT = ('front', 'front_left', 'front_right')
LARGEST_RESULT_BYTES = 100_000
CODE = ('selfocc_core', 'training')


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: Name of the row.
        what: What it changes.
        options: Options of ``selfocc train``, beside those that all rows have.
        preset: The preset that they change.
        measured: Options of ``selfocc benchmark``, beside those that all rows have.
        trained_as: Row whose checkpoints are measured; none: the row has its own.
    """

    name: str
    what: str
    options: tuple[str, ...] = ()
    preset: str = BASE
    measured: tuple[str, ...] = ()
    trained_as: str | None = None


ROWS = (
    Row('base', 'the preset: TPV, signed distance, MVS-embedded loss as evidence, all losses'),
    Row('bev', 'top plane only', ('--config.model.encoder.view', 'bev')),
    Row(
        'density',
        'density instead of signed distance; has no Eikonal and no Hessian loss',
        (
            '--config.render.weights', 'density',
            '--config.losses.eikonal', '0', '--config.losses.hessian', '0',
        ),
    ),
    Row(
        'reprojection',
        'rendered depth warped instead of the MVS-embedded loss',
        ('--config.losses.photometric-form', 'reprojection'),
    ),
    Row(
        'expected_cost',
        'MVS-embedded loss as in the paper: the expected cost instead of the evidence',
        ('--config.losses.photometric-form', 'proposals'),
    ),
    Row(
        'one_scale',
        'neighbourhoods of 3x3 pixels alone instead of three scales',
        ('--config.losses.patch-steps', '1'),
    ),
    Row(
        'scenerf_like',
        'density, reprojection, no Eikonal, Hessian or sparsity',
        preset='scenerf_like',
    ),
    Row('no_eikonal', 'no Eikonal loss', ('--config.losses.eikonal', '0')),
    Row('no_hessian', 'no Hessian loss', ('--config.losses.hessian', '0')),
    Row('no_sparsity', 'no sparsity loss', ('--config.losses.sparsity', '0')),
    Row(
        'no_temporal',
        'all rays from the own moment, none from a neighbour',
        (
            '--config.temporal.no-both-anchors',
            '--config.temporal.current-share', '1', '--config.temporal.previous-share', '0',
        ),
    ),
    Row(
        'three_cameras',
        'trained with the three front cameras; scored is what these have in their images',
        ('--config.model.input.cameras', '3', '--config.model.input.camera-names', *FRONT),
        measured=('--cameras', *FRONT),
    ),
    Row(
        'base_in_front',
        'base, given the three front cameras and scored like three_cameras',
        measured=('--cameras', *FRONT),
        trained_as='base',
    ),
    Row(
        'coarse',
        'field nodes every 0.8 m instead of 0.4 m along x and y, no context convolutions',
        ('--config.model.decoder.subdivide-xy', '1', '--config.model.decoder.context', '0'),
    ),
    Row(
        'full_sharpness',
        'sharpness not limited to what the bins of a ray resolve',
        ('--config.render.bin-sharpness', '0'),
    ),
    Row(
        'soft_rays',
        'half of the rays see the field softer, so that what is near can appear in free space',
        ('--config.render.soft-share', '0.5'),
    ),
    Row('not_mirrored', 'no samples seen in a mirror', ('--config.temporal.mirrored-share', '0')),
    Row('no_lift', 'no image features at the nodes', ('--config.model.decoder.no-lift',)),
    Row(
        'bev_no_lift',
        'top plane only, no image features at the nodes',
        ('--config.model.encoder.view', 'bev', '--config.model.decoder.no-lift'),
    ),
)  # fmt: skip

METRICS: Mapping[str, tuple[str, ...]] = {
    'abs_rel ↓': ('depth', 'abs_rel'),
    'delta1 ↑': ('depth', 'delta1'),
    'median_rel ↓': ('depth', 'median_rel'),
    'IoU ↑': ('occupancy', 'iou'),
    'IoU obstacles ↑': ('occupancy', 'iou_obstacles'),
    'obstacles < 12.8 m ↑': ('occupancy', 'by_range', '0-12.8 m', 'iou_obstacles'),
    'F at 0.8 m ↑': ('occupancy', 'f_score_0_8m'),
    'RayIoU ↑': ('occupancy', 'ray_iou'),
}

_PRESET = TypeAdapter(Preset)

Program = Callable[[Sequence[str]], int]
"""Runs ``selfocc`` with arguments and returns its exit status."""


@dataclass(frozen=True)
class Settings:
    """What all runs share.

    Attributes:
        bags: Folder of the training drives.
        runs: Folder for checkpoints and the decoded drives that all runs share.
        out: Folder for records and the table.
        cache: Folder for rendered worlds.
        worlds: Worlds that are measured on.
        calibrate: Whose occupancy threshold training worlds choose, see ``selfocc benchmark``.
        steps: Training steps; none: those of the preset.
    """

    bags: Path = Path('runs', 'training-drives')
    runs: Path = Path('runs', 'ablations')
    out: Path = Path('benchmarks', 'results', 'ablations')
    cache: Path = Path('runs', 'worlds')
    worlds: str = 'validation'
    calibrate: str = 'all'
    steps: int | None = None


@dataclass(frozen=True)
class Run:
    """A row with a seed."""

    row: Row
    seed: int
    settings: Settings

    @property
    def name(self) -> str:
        """What it is called."""
        return f'{self.row.name}, seed {self.seed}'

    @property
    def folder(self) -> Path:
        """Folder of its record."""
        return self.settings.out / self.row.name / f'seed{self.seed}'

    @property
    def checkpoint(self) -> Path:
        """What it trains."""
        model = self.row.trained_as or self.row.name
        return self.settings.runs / f'{model}-seed{self.seed}' / 'model.ckpt'

    def train(self) -> list[str]:
        """Return the arguments of ``selfocc`` that train it."""
        runs = self.settings.runs
        shared = ['--bags', self.settings.bags, '--cache', runs / 'cache']
        shared += ['--out', self.checkpoint.parent]
        numbers = ['--seed', self.seed, '--threads', 1]
        if self.settings.steps is not None:
            numbers += ['--config.optimizer.steps', self.settings.steps]
        options = [*shared, *numbers, *self.row.options]
        return ['train', '--preset', self.row.preset, *map(str, options)]

    def measure(self, result: Path) -> list[str]:
        """Return the arguments of ``selfocc`` that measure it and write a result."""
        settings = self.settings
        options = [
            '--model', self.checkpoint, '--seeds', settings.worlds, '--json', result,
            '--cache', settings.cache, '--calibrate', settings.calibrate, '--threads', 1,
        ]  # fmt: skip
        return ['benchmark', *map(str, options), *self.row.measured]

    def preset(self) -> Preset:
        """Return its configuration.

        Raises:
            SelfOccError: The options of the row do not fit the preset.
        """
        import tyro

        from training.command import Train

        arguments = self.train()[1:]
        return tyro.cli(Train, args=arguments, default=Train.default(arguments)).config

    def is_done(self) -> bool:
        """Tell whether there is a record of it.

        Raises:
            SelfOccError: There is, but of another configuration or another measurement.
        """
        if not (self.folder / 'run.json').exists():
            return False
        from training.checkpoint import differences

        record = _read(self.folder / 'run.json')
        changed = differences(_preset_in(self.folder / 'config.json'), self.preset())
        commands = _command(self.train()), _command(self.measure(self.folder / 'benchmark.json'))
        if (record['train'], record['measure']) != commands:
            changed.append('other commands')
        if changed:
            raise SelfOccError(
                f'{self.folder} is a record of another configuration ({", ".join(changed[:4])}): '
                'remove it and its checkpoint, or give other folders with --out and --runs'
            )
        return True


def perform(run: Run, program: Program) -> None:
    """Train and measure a run, and record it.

    Raises:
        SelfOccError: Training or measuring failed.
    """
    result, preset, code = run.folder / 'benchmark.json', run.preset(), code_sha256()
    resume = ['--resume'] if run.checkpoint.exists() else []
    _must(program, [*run.train(), *resume], run)
    started_s = time.monotonic()
    _must(program, run.measure(result), run)
    log = read_text(run.checkpoint.with_name('log.jsonl'), 'training log')
    record = {
        'row': run.row.name,
        'what': run.row.what,
        'seed': run.seed,
        'train': _command(run.train()),
        'measure': _command(run.measure(result)),
        'training_seconds': trained_seconds(log),
        'measuring_seconds': round(time.monotonic() - started_s, 1),
        'machine': this_machine(),
        'code_sha256': code,
    }
    _write(result, trimmed(_read(result)))
    write_atomically(run.folder / 'log.jsonl', log.encode())
    write_atomically(run.folder / 'config.json', _PRESET.dump_json(preset, indent=2) + b'\n')
    _write(run.folder / 'run.json', record)  # last: it says that the rest is there


def perform_all(runs: Sequence[Run], program: Program) -> list[str]:
    """Perform the runs that are not done and return the names of those that failed.

    Raises:
        SelfOccError: There is a record of another configuration, or options of a row do not fit
            its preset.
    """
    for run in runs:
        run.preset()  # what does not fit is better known now than in the night
    left = [run for run in runs if not run.is_done()]
    print(f'{len(runs)} runs, {len(runs) - len(left)} of them done')
    failed, seconds = [], list[float]()
    for index, run in enumerate(left):
        told = time_left(seconds, len(left) - index)
        print(f'[{index + 1}/{len(left)}] {run.name}: {run.row.what} ({told})', flush=True)
        started_s = time.monotonic()
        try:
            perform(run, program)
        except SelfOccError as error:  # the others of a long night shall not suffer
            print(error, file=sys.stderr)
            failed.append(run.name)
        seconds.append(time.monotonic() - started_s)
        write_table(run.settings.out)
    return failed


def code_sha256() -> str:
    """Return a hash of the sources of the network, its training and its measurement."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(p for folder in CODE for p in (root / folder).rglob('*.py')):
        digest.update(f'{path.relative_to(root)}\n'.encode() + path.read_bytes())
    return digest.hexdigest()


def time_left(seconds: Sequence[float], runs: int) -> str:
    """Say how long some more runs take if they take as long as those before."""
    if not seconds:
        return 'time left not known yet'
    minutes = round(statistics.mean(seconds) * runs / 60)
    return f'about {minutes // 60}:{minutes % 60:02} h left'


def trained_seconds(log: str) -> float:
    """Return how long a training took by its log, in which a resumed one starts from 0 again."""
    times = [float(json.loads(line)['seconds']) for line in log.splitlines()]
    ends = [now for now, after in pairwise([*times, -1.0]) if after < now]
    return round(sum(ends), 1)


def trimmed(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result of the benchmark without the scores of each world if it is large."""
    if len(json.dumps(result, indent=2)) <= LARGEST_RESULT_BYTES:
        return result

    def without(scores: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in scores.items() if name != 'worlds'}

    baselines = {name: without(scores) for name, scores in result['baselines'].items()}
    return result | {'model': without(result['model']), 'baselines': baselines}


def write_table(out: Path) -> None:
    """Write ``table.json`` and ``table.md`` of all records in a folder."""
    table = table_of(out)
    _write(out / 'table.json', table)
    write_atomically(out / 'table.md', markdown_of(table).encode())


def table_of(out: Path) -> dict[str, Any]:
    """Return mean and spread over seeds of every metric, of each row that has records."""
    rows = {}
    for row in ROWS:
        records = sorted(out.glob(f'{row.name}/seed*/run.json'))
        if records:
            rows[row.name] = _summary([path.parent for path in records])
    return {
        'metrics': {name: '.'.join(path) for name, path in METRICS.items()},
        'spread': 'standard deviation between seeds (n - 1)',
        'rows': rows,
    }


def _summary(folders: Sequence[Path]) -> dict[str, Any]:
    records = [_read(folder / 'run.json') for folder in folders]
    results = [_read(folder / 'benchmark.json')['model'] for folder in folders]
    presets = [_preset_in(folder / 'config.json') for folder in folders]
    return {
        'what': records[0]['what'],
        'command': records[0]['train'],
        'seeds': [record['seed'] for record in records],
        'steps': sorted({preset.optimizer.steps for preset in presets}),
        'training_seconds': statistics.mean(record['training_seconds'] for record in records),
        'code_sha256': sorted({record['code_sha256'] for record in records}),
        'thresholds': [result['threshold'] for result in results],
        'scores': {
            name: spread_over(_at(result, path) for result in results)
            for name, path in METRICS.items()
        },
    }


def spread_over(values: Iterable[float | None]) -> dict[str, Any]:
    """Return mean and standard deviation (n - 1) of what is not None, and the values."""
    values = list(values)
    known = [value for value in values if value is not None]
    return {
        'mean': statistics.mean(known) if known else None,
        'spread': statistics.stdev(known) if len(known) > 1 else None,
        'values': values,
    }


def markdown_of(table: Mapping[str, Any]) -> str:
    """Return a table for people."""
    head = ['row', *METRICS, 'seeds', 'steps']
    lines = [head, ['---', *['---:'] * (len(head) - 1)]]
    for name, row in table['rows'].items():
        cells = [_cell(row['scores'][metric]) for metric in METRICS]
        steps = '/'.join(map(str, row['steps']))
        lines.append([name, *cells, ','.join(map(str, row['seeds'])), steps])
    text = '\n'.join(f'| {" | ".join(line)} |' for line in lines)
    code = {digest for row in table['rows'].values() for digest in row['code_sha256']}
    if len(code) > 1:
        text += f'\n\nThese runs are of {len(code)} states of the code (table.json).'
    changes = '\n'.join(f'- `{name}`: {row["what"]}' for name, row in table['rows'].items())
    return f'{text}\n\nMean ± {table["spread"]}.\n\n{changes}\n'


def _cell(score: Mapping[str, Any]) -> str:
    if score['mean'] is None:
        return '–'
    spread = '' if score['spread'] is None else f' ± {score["spread"]:.3f}'
    return f'{score["mean"]:.3f}{spread}'


def _at(scores: Any, path: Sequence[str]) -> float | None:
    for name in path:
        scores = scores[name]
    value: float | None = scores
    return value


def _command(arguments: Sequence[str]) -> str:
    return shlex.join(['selfocc', *arguments])


def _must(program: Program, arguments: Sequence[str], run: Run) -> None:
    status = program(arguments)
    if status != 0:
        raise SelfOccError(f'{run.name} failed with status {status}: {_command(arguments)}')


def selfocc(arguments: Sequence[str]) -> int:
    """Run the program in a process of its own, with one thread."""
    code = 'import sys; from selfocc_core.cli import main; sys.exit(main())'
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    return subprocess.run(
        [sys.executable, '-c', code, *arguments], check=False, env=environment
    ).returncode


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(read_text(path, 'record'))
    except ValueError as error:
        raise SelfOccError(f'{path} is damaged: remove its folder') from error
    return content


def _preset_in(path: Path) -> Preset:
    try:
        return _PRESET.validate_json(read_text(path, 'configuration'))
    except ValidationError as error:
        raise SelfOccError(
            f'{path} is damaged or of another version: remove its folder'
        ) from error


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, (text + '\n').encode())


def rows_named(text: str) -> list[Row]:
    """Return rows by their names, separated by commas.

    Raises:
        SelfOccError: There is no such row.
    """
    by_name = {row.name: row for row in ROWS}
    for name in text.split(','):
        if name not in by_name:
            raise SelfOccError(f'there is no row "{name}": choose of {",".join(by_name)}')
    return [by_name[name] for name in text.split(',')]


def main() -> None:
    """Run what is asked for."""
    options = _options()
    settings = Settings(
        options.bags, options.runs, options.out, options.cache, options.worlds,
        options.calibrate, options.steps,
    )  # fmt: skip
    try:
        rows = rows_named(options.rows)
        # Seed by seed, so that a table of all rows is there early.
        runs = [Run(row, seed, settings) for seed in options.seeds for row in rows]
        if options.list:
            print('\n'.join(f'{run.name}: {_command(run.train())}' for run in runs))
            return
        failed = perform_all(runs, selfocc)
        write_table(settings.out)
    except SelfOccError as error:
        sys.exit(f'ablations: {error}')
    print((settings.out / 'table.md').read_text())
    if failed:
        sys.exit(f'ablations: failed: {"; ".join(failed)}')


def _seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(',')]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ','.join(row.name for row in ROWS)
    default = Settings()
    parser.add_argument('--rows', default=names, help=f'of {names}')
    parser.add_argument('--seeds', type=_seeds, default=[0, 1], help='such as 0,1')
    parser.add_argument('--steps', type=int, help="training steps; default: the preset's")
    parser.add_argument('--out', type=Path, default=default.out, help='for records and table')
    parser.add_argument('--runs', type=Path, default=default.runs, help='for checkpoints')
    parser.add_argument('--bags', type=Path, default=default.bags, help='training drives')
    parser.add_argument('--cache', type=Path, default=default.cache, help='rendered worlds')
    parser.add_argument('--worlds', default=default.worlds, help='measured on, as --seeds there')
    parser.add_argument(
        '--calibrate', default=default.calibrate, choices=('none', 'all'),
        help='whose occupancy threshold training worlds choose',
    )  # fmt: skip
    parser.add_argument('--list', action='store_true', help='print the commands and stop')
    return parser.parse_args()


if __name__ == '__main__':
    main()
