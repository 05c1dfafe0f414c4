"""What people write by hand or programs leave beside: rig files, model cards, records."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import yaml
from bag_cases import laughs
from case import Case, Families, Family, listed, sound
from judging import Judge
from mutation import as_json, spoilt_bytes, spoilt_text, spoilt_tree
from special_files import special_files

from selfocc_core.bags import BagReader
from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.doctor.rig_check import check_rig
from selfocc_core.files import read_json, sha256_of
from selfocc_core.model_card import DepthSpec, GridSpec, InputSpec, ModelCard, TrainingRecord
from selfocc_core.rig_from_bag import rig_from_bag


def _read_rig(path: Path, judge: Judge) -> None:
    with judge.entry('Rig.from_yaml'):
        rig = Rig.from_yaml(path)
        assert len(rig.content_hash) == 64
        rig.to_yaml(path.with_name('out') / 'again.yaml')
        again = Rig.from_yaml(path.with_name('out') / 'again.yaml')
        assert again.content_hash == rig.content_hash
    with judge.entry('check_rig'):
        assert check_rig(path, card())


def card() -> ModelCard:
    """Return the card of no model."""
    return ModelCard(
        name='none',
        version='0.1.0',
        onnx_sha256='0' * 64,
        opset=17,
        input=InputSpec(cameras=2, height=8, width=16),
        grid=GridSpec(minimum_m=(-8, -8, -2), maximum_m=(8, 8, 2), shape=(8, 8, 4)),
        depth=DepthSpec(height=2, width=4, near_m=0.5, far_m=60.0),
        training=TrainingRecord(command='none', data='none', steps=0, seed=0),
    )


def _rig_case(folder: Path, words: str, content: bytes) -> Case:
    (folder / 'out').mkdir()
    path = folder / 'rig.yaml'
    path.write_bytes(content)
    return Case(words, lambda judge: _read_rig(path, judge), (path.name,))


@cache
def _rig_text() -> str:
    from selfocc_core.cameras import _to_file  # the text that to_yaml writes

    return yaml.safe_dump(_to_file(Rig(nuscenes_like_rig(64, 36).cameras[:2])).model_dump())


def _spoilt_rig(number: int, random: Random, folder: Path) -> Case:
    if number % 3 == 0:
        words, content = spoilt_bytes(_rig_text().encode(), random)
    elif number % 3 == 1:
        words, text = spoilt_text(_rig_text(), random)
        content = text.encode('utf-8', 'surrogateescape')
    else:
        words, tree = spoilt_tree(yaml.safe_load(_rig_text()), random)
        content = yaml.safe_dump(tree, allow_unicode=bool(number % 2)).encode(errors='replace')
    return _rig_case(folder, words, content)


def _rig_of(text: str | Callable[[], str]) -> Callable[[Path], Case]:
    return lambda folder: _rig_case(
        folder, '', (text if isinstance(text, str) else text()).encode()
    )


def _merges(count: int) -> str:
    lines = ['a0: &x0 {k: 1}']
    for n in range(1, count):
        merged = ', '.join(f'*x{m}' for m in range(n))
        lines.append(f'a{n}: &x{n} {{<<: [{merged}], k{n}: 1}}')
    return '\n'.join(lines)


_RIGS: dict[str, Callable[[Path], Case]] = {
    'aliases upon aliases': _rig_of(lambda: laughs() + 'cameras: *i\n'),
    'a list in itself': _rig_of('cameras: &a [*a]\n'),
    'a mapping merged into itself': _rig_of('cameras: &a\n  <<: *a\n'),
    'merges upon merges': _rig_of(partial(_merges, 120)),
    'deep lists': _rig_of('cameras: ' + '[' * 10**4),
    'deep dashes': _rig_of('- ' * 10**4),
    'a long integer': _rig_of('cameras: ' + '9' * 10**4),
    'a hexadecimal integer': _rig_of('cameras: 0x' + 'f' * 10**5),
    'a long sexagesimal': _rig_of('cameras: ' + ':'.join(['59'] * 1000) + '.5'),
    'a date that is none': _rig_of('cameras: 2001-99-99'),
    'a time that is none': _rig_of('cameras: 2001-01-01 99:99:99'),
    'binary that is none': _rig_of('cameras: !!binary "!!!"'),
    'a python object': _rig_of('cameras: !!python/object/apply:os.system ["touch escaped"]'),
    'an unknown tag': _rig_of('cameras: !unknown 1'),
    'a list as key': _rig_of('? [1, 2]\n: 3'),
    'a key of two lines': _rig_of('"a\\nb\\tc\\e[31m": 1\ncameras: []'),
    'a key of a megabyte': _rig_of(lambda: 'x' * 2**20 + ': 1\ncameras: []'),
    'a key of an escape': _rig_of(lambda: _rig_text().replace('frame_id', '"\\e[31m"')),
    'a thousand cameras': _rig_of(lambda: _rig_text() + _rig_text().split('\n', 1)[1] * 500),
    'tabs': _rig_of('\tcameras:\n\t- a'),
    'an undefined alias': _rig_of('cameras: *nothing'),
    'two documents': _rig_of('a: 1\n---\nb: 2'),
    'a directive of the future': _rig_of('%YAML 9.9\n---\ncameras: []'),
    'nothing': _rig_of(''),
    'null bytes': _rig_of('\0' * 100),
    'a byte order mark': _rig_of(lambda: '\ufeff' + _rig_text()),
    'a megabyte of dashes': _rig_of(lambda: 'cameras:\n' + '- a\n' * 2**18),
    'many short entries': _rig_of(lambda: 'cameras:\n' + '- a\n' * 10**4),
}


def _card_case(folder: Path, words: str, content: bytes) -> Case:
    model = folder / 'model.onnx'
    model.write_bytes(b'not looked at')
    ModelCard.path_for(model).write_bytes(content)

    def run(judge: Judge) -> None:
        with judge.entry('ModelCard.load_for'):
            ModelCard.load_for(model).grid.to_grid()

    return Case(words, run, ('model.card.json', 'voxel grid'))


def _card_text(folder: Path) -> str:
    model = folder / 'model.onnx'
    model.write_bytes(b'not looked at')
    fitting = card().model_copy(update={'onnx_sha256': sha256_of(model)})
    return fitting.model_dump_json(indent=1)


def _spoilt_card(number: int, random: Random, folder: Path) -> Case:
    text = _card_text(folder)
    if number % 3 == 0:
        words, content = spoilt_bytes(text.encode(), random)
    elif number % 3 == 1:
        words, text = spoilt_text(text, random)
        content = text.encode('utf-8', 'surrogateescape')
    else:
        words, tree = spoilt_tree(json.loads(text), random)
        content = as_json(tree)
    return _card_case(folder, words, content)


def _json_case(folder: Path, words: str, content: bytes) -> Case:
    path = folder / 'some.json'
    path.write_bytes(content)

    def run(judge: Judge) -> None:
        with judge.entry('read_json'):
            read_json(path, 'file')

    return Case(words, run, (path.name,))


_JSON_TEXTS: dict[str, Any] = {
    'deep lists': '[' * 10**5,
    'deep dicts': '{"a":' * 10**5,
    'a long integer': '9' * 10**5,
    'a float of a million digits': '0.' + '3' * 10**6,
    'an exponent': '1e999999999999',
    'no number': 'NaN',
    'a key twice': '{"a": 1, "a": 2}',
    'half a surrogate': '"\\ud800"',
    'a null character': '"\\u0000"',
    'a key of two lines': '{"a\\nb": 1}',
    'a comment': '/* */ {}',
    'a byte order mark': '\ufeff{}',
    'nothing': '',
    'UTF-16': '{}'.encode('utf-16'),
    'no text': b'\xff\xfe\x00\x80',
    'five megabytes': '"' + 'x' * 5 * 2**20 + '"',
}


def _bytes_of(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def json_texts(make: Callable[[Path, str, bytes], Case]) -> dict[str, Callable[[Path], Case]]:
    return {
        words: partial(lambda text, folder: make(folder, '', _bytes_of(text)), text)
        for words, text in _JSON_TEXTS.items()
    }


def _rig_file(folder: Path) -> Path:
    return folder / 'rig.yaml'


def _card_file(folder: Path) -> Path:
    (folder / 'model.onnx').write_bytes(b'not looked at')
    return folder / 'model.card.json'


def _bag_file(suffix: str, folder: Path) -> Path:
    return folder / f'drive{suffix}'


def _read_bag(path: Path) -> None:
    with BagReader(path) as bag:
        assert sum(1 for _ in bag.messages()) == 0


SPECIAL = special_files(
    {
        'Rig.from_yaml': (_rig_file, Rig.from_yaml),
        'ModelCard.load_for': (
            _card_file,
            lambda p: ModelCard.load_for(p.with_name('model.onnx')),
        ),
        'BagReader of MCAP': (partial(_bag_file, '.mcap'), _read_bag),
        'BagReader of sqlite3': (partial(_bag_file, '.db3'), _read_bag),
        'BagReader of a folder': (partial(_bag_file, ''), _read_bag),
        'rig_from_bag': (partial(_bag_file, '.mcap'), rig_from_bag),
        'read_json': (_rig_file, lambda p: read_json(p, 'file')),
    }
)

_SOUND: dict[str, Callable[[Path], Case]] = {
    'a rig file': lambda f: _rig_case(f, '', _rig_text().encode()),
    'a model card': lambda f: _card_case(f, '', _card_text(f).encode()),
    'JSON': lambda f: _json_case(f, '', b'{"a": [1, 2.5, null]}'),
}

FAMILIES: Families = {
    'sound-file': sound(_SOUND),
    'special-file': SPECIAL,
    'rig': Family(_spoilt_rig, 240),
    'rig-listed': listed(_RIGS),
    'card': Family(_spoilt_card, 180),
    'card-listed': listed(json_texts(_card_case)),
    'json-listed': listed(json_texts(_json_case)),
}
