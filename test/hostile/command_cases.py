"""Commands on hostile inputs: an exit status, one line on stderr, and nothing half written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

import rerun  # noqa: F401  large libraries come before the memory is bounded
import torch
import torch._dynamo
from bag_cases import disorder, template
from case import Case, Families, Family, listed, output_of, sound
from mock_model import write_mock_model
from mutation import spoilt_bytes
from small_recording import drive, write, write_quickly

from selfocc_core.backends.onnxruntime import import_runtime

torch.set_num_threads(1)
import_runtime()
SETS = 4

Arguments = Callable[[Path, Path], Sequence[object]]
"""Returns the command line for a bag and an output folder."""


def _view_png(path: Path, out: Path) -> Sequence[object]:
    return 'view', path, '--recording', path, '--png', out / 'moment.png'


def _view_rrd(path: Path, out: Path) -> Sequence[object]:
    return 'view', path, '--recording', path, '--rrd', out / 'drive.rrd'


def _doctor(path: Path, out: Path) -> Sequence[object]:
    return 'doctor', '--bag', path, '--json', out / 'findings.json'


def _evaluate(path: Path, out: Path) -> Sequence[object]:
    model = path.with_name('model.onnx')
    write_mock_model(model, cameras=2, height=12, width=16, grid_shape=(16, 16, 8))
    return 'evaluate', '--bag', path, '--model', model, '--out', out / 'report', '--threads', 1


def _train(path: Path, out: Path) -> Sequence[object]:
    size = {'cameras': 2, 'height': 12, 'width': 16, 'supervision-height': 12}
    options = [f'--config.model.input.{name}={value}' for name, value in size.items()]
    options += ['--config.model.input.supervision-width=16', '--config.optimizer.steps=1']
    return 'train', '--preset', 'selfocc-tiny', '--bags', path, '--out', out / 'run', *options


def _pseudo_labels(path: Path, out: Path) -> Sequence[object]:
    return 'pseudo-labels', path, '--out', out / 'labels'


def _command_case(folder: Path, words: str, path: Path, arguments: Arguments) -> Case:
    out = output_of(folder)
    line = [str(argument) for argument in arguments(path, out)]
    # What a command did of its work before it met the damage may stay: whole files.
    leaves = {
        'doctor': ('findings.json',),
        'train': ('run', 'run/cache', 'run/cache/*'),
        'pseudo-labels': ('labels', 'labels/*'),
    }
    # The doctor says on stdout what it looks at, and on stderr the first thing that is wrong.
    names = () if line[0] == 'doctor' else (path.name, 'an image of', 'a point cloud')
    return Case(
        f'{line[0]}: {words}',
        lambda judge: judge.command(line),
        names,
        leaves.get(line[0], ()),
    )


def _spoilt_recording(arguments: Arguments, number: int, random: Random, folder: Path) -> Case:
    path = folder / 'drive.mcap'
    if number % 4 == 0:
        data = template('mcap', folder, lambda p: write(p, drive(SETS), compress=True), SETS)
        words, spoilt = spoilt_bytes(data, random)
        path.write_bytes(spoilt)
        return _command_case(folder, words, path, arguments)
    entries = list(drive(SETS))
    if number % 4 == 1:
        words = disorder(entries, random)
        entries.sort(key=lambda e: e.stamp_ns)
    else:
        place = random.randrange(len(entries))
        words, raw = spoilt_bytes(entries[place].raw, random)
        words = f'{entries[place].topic} : {words}'
        entries[place] = entries[place]._replace(raw=raw)
    return _command_case(folder, words, write_quickly(path, entries), arguments)


def _other_input(line: Sequence[str], make: Callable[[Path], object], folder: Path) -> Case:
    """Return a command whose input is made, and written ``{in}`` in its line."""
    out = output_of(folder)
    path = folder / 'input'
    make(path)
    names = () if line[0] == 'doctor' else (path.name,)
    words = [part.replace('{in}', str(path)).replace('{out}', str(out)) for part in line]
    return Case('', lambda judge: judge.command(words), names)


_VIEW = ('view', '{in}', '--png', '{out}/a.png')
_DOCTOR = ('doctor', '--bag', '{in}')
_INPUTS: dict[str, Sequence[str]] = {
    'view': _VIEW,
    'view with a recording': (*_VIEW[:1], '{in}', '--recording', '{in}', *_VIEW[2:]),
    'doctor of a bag': _DOCTOR,
    'doctor of a rig': ('doctor', '--rig', '{in}'),
    'doctor with a model': (*_DOCTOR, '--model', '{in}'),
    'evaluate': ('evaluate', '--bag', '{in}', '--out', '{out}/report'),
    'export': ('export', '{in}', '--out', '{out}/model.onnx'),
    'train': ('train', '--bags', '{in}', '--out', '{out}/run'),
    'convert': ('convert', '--from', 'nuscenes', '--root', '{in}', '--out', '{out}/a.mcap'),
}
_MADE: dict[str, Callable[[Path], object]] = {
    'nothing': Path.touch,
    'a folder': Path.mkdir,
    'noise': lambda path: path.write_bytes(bytes(range(256)) * 40),
    'missing': lambda _: None,
}


def _sound_command(arguments: Arguments, folder: Path) -> Case:
    path = write_quickly(folder / 'drive.mcap', drive(SETS))
    return _command_case(folder, '', path, arguments)


_SOUND: dict[str, Callable[[Path], Case]] = {
    arguments.__name__: partial(_sound_command, arguments)
    for arguments in (_view_png, _view_rrd, _doctor, _evaluate, _train)
}

FAMILIES: Families = {
    'sound-command': sound(_SOUND),
    'view': Family(partial(_spoilt_recording, _view_png), 40),
    'rerun': Family(partial(_spoilt_recording, _view_rrd), 16),
    'doctor': Family(partial(_spoilt_recording, _doctor), 40),
    'evaluate': Family(partial(_spoilt_recording, _evaluate), 24),
    'train': Family(partial(_spoilt_recording, _train), 8),
    'pseudo-labels': Family(partial(_spoilt_recording, _pseudo_labels), 16),
    'command-inputs': listed(
        {
            f'{command} of {what}': partial(_other_input, line, make)
            for command, line in _INPUTS.items()
            for what, make in _MADE.items()
        }
    ),
}
