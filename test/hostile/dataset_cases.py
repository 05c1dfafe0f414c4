"""Trees of public datasets one file of which is spoilt, read for training."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from case import Case, Families, Family, listed, sound
from dataset_trees import IMAGES, write_kitti_drive, write_nuscenes, write_semantic_kitti
from judging import Judge
from mutation import as_json, spoilt_bytes, spoilt_text, spoilt_tree

from training.config import InputConfig
from training.data.clip import Clip
from training.data.sources import drives_of, parse_source, read_clips

Tree = dict[str, bytes]

_FORMATS: dict[str, tuple[Callable[..., Path], InputConfig]] = {
    'kitti-raw': (write_kitti_drive, IMAGES),
    'semantic-kitti': (write_semantic_kitti, IMAGES),
    'nuscenes': (write_nuscenes, replace(IMAGES, cameras=6)),
}


@cache
def _sound(kind: str) -> Tree:
    """Return the files of a sound tree."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _FORMATS[kind][0](root, frames=4)
        files = [path for path in root.rglob('*') if path.is_file()]
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(files)}


def _read(kind: str, folder: Path, judge: Judge) -> None:
    with judge.entry('read_clips'):
        for drive in drives_of(parse_source(f'{kind}:{folder}')):
            for clip in read_clips(drive, _FORMATS[kind][1]):
                assert _is_sound(clip)


def _is_sound(clip: Clip) -> bool:
    numbers = clip.world_from_ego_at_shutter, clip.world_from_ego, clip.input_from_ego
    return all(np.isfinite(n).all() for n in numbers) and bool((np.diff(clip.stamps_ns) > 0).all())


def _tree_case(kind: str, folder: Path, words: str, tree: Tree) -> Case:
    root = folder / 'tree'
    for relative, content in tree.items():
        (root / relative).parent.mkdir(parents=True, exist_ok=True)
        (root / relative).write_bytes(content)
    # Where one row is wrong, it may only be known that it is in this tree.
    names = root.name, 'drive', 'sequence', 'nuScenes scene'
    return Case(words, partial(_read, kind, root), names)


def _spoilt_tree(kind: str, number: int, random: Random, folder: Path) -> Case:
    tree = dict(_sound(kind))
    # There are many images and few texts.
    is_image = number % 6 == 0
    name = random.choice([n for n in tree if n.endswith(('.png', '.jpg')) == is_image])
    words, tree[name] = _spoilt(name, tree[name], random)
    return _tree_case(kind, folder, f'{name}: {words}', tree)


def _spoilt(name: str, content: bytes, random: Random) -> tuple[str, bytes]:
    if name.endswith('.json') and random.random() < 0.7:
        words, table = spoilt_tree(json.loads(content), random)
        return words, as_json(table)
    if name.endswith('.txt') and random.random() < 0.7:
        words, text = spoilt_text(content.decode(), random)
        return words, text.encode('utf-8', 'surrogateescape')
    return spoilt_bytes(content, random)


def _with_rows(table: str, **changes: Any) -> Callable[[Path], Case]:
    """Return a nuScenes tree in whose table all rows have some values."""

    def make(folder: Path) -> Case:
        name = f'v1.0-mini/{table}.json'
        tree = dict(_sound('nuscenes'))
        tree[name] = as_json([row | changes for row in json.loads(tree[name])])
        return _tree_case('nuscenes', folder, '', tree)

    return make


def _with_text(kind: str, name: str, content: bytes) -> Callable[[Path], Case]:
    def make(folder: Path) -> Case:
        tree = dict(_sound(kind))
        (path,) = (path for path in tree if path.endswith(name))
        return _tree_case(kind, folder, '', tree | {path: content})

    return make


_TEXTS = {
    'nothing': b'',
    'a null byte': b'\0',
    'deep lists': b'[' * 10**5,
    'a long integer': b'9' * 10**5,
    'numbers that overflow': b'1e999 ' * 12,
    'large numbers': b'1e300 0 0 0 0 1e300 0 0 0 0 1e300 0\n' * 4,
    'zeros': b'0 0 0 0 0 0 0 0 0 0 0 0\n' * 4,
    'no numbers': b'nan nan nan nan nan nan nan nan nan nan nan nan\n' * 4,
    'times that overflow': b'1e300\n2e300\n3e300\n4e300\n',
    'dates of the future': b'99999-01-01 00:00:00\n' * 4,
    'dates that are words': b'now\ntoday\nNaT\n\n',
    'calibration of zeros': b'P2: 0 0 0 0 0 0 0 0 0 0 0 0\nTr: 0 0 0 0 0 0 0 0 0 0 0 0\n',
    'UTF-16': 'P2: 1'.encode('utf-16'),
    'a line of four megabytes': b'7' * 2**22,
}
_FILES = {
    'kitti-raw': ('calib_cam_to_cam.txt', 'image_02/timestamps.txt', 'oxts/data/0000000001.txt'),
    'semantic-kitti': ('calib.txt', 'times.txt', 'poses.txt'),
    'nuscenes': ('/sample_data.json', '/ego_pose.json', '/calibrated_sensor.json'),
}

_LISTED: dict[str, Callable[[Path], Case]] = {
    **{
        f'{kind}: {name} is {words}': _with_text(kind, name, content)
        for kind, names in _FILES.items()
        for name in names
        for words, content in _TEXTS.items()
    },
    'files above the tree': _with_rows('sample_data', filename='../../../../escaped'),
    'files of the system': _with_rows('sample_data', filename='/etc/passwd'),
    'the tree as its file': _with_rows('sample_data', filename=''),
    'files with a null byte': _with_rows('sample_data', filename='a\0b'),
    'files with a long name': _with_rows('sample_data', filename='x' * 5000),
    'files with lines in their names': _with_rows('sample_data', filename='a\nb'),
    'times that are none': _with_rows('sample_data', timestamp=float('nan')),
    'times without end': _with_rows('sample_data', timestamp=float('inf')),
    'times beyond all numbers': _with_rows('sample_data', timestamp=10**30),
    'times before the first': _with_rows('sample_data', timestamp=-(10**18)),
    'images of no size': _with_rows('sample_data', width=0, height=0),
    'images of any size': _with_rows('sample_data', width=10**30, height=float('nan')),
    'poses at infinity': _with_rows('ego_pose', translation=[float('inf')] * 3),
    'poses beyond the Moon': _with_rows('ego_pose', translation=[1e300] * 3),
    'poses without rotation': _with_rows('ego_pose', rotation=[0, 0, 0, 0]),
    'poses of text': _with_rows('ego_pose', translation='abc', rotation='abcd'),
    'lenses that are lists': _with_rows('calibrated_sensor', camera_intrinsic=[[1], [2, 3]]),
    'lenses beyond all numbers': _with_rows(
        'calibrated_sensor', camera_intrinsic=[[1e308, 0, 0], [0, 1e308, 0], [0, 0, 1]]
    ),
    'channels with lines': _with_rows('sensor', channel='CAM_FRONT\n'),
    'channels that lead elsewhere': _with_rows('sensor', channel='CAM_/../../escaped'),
    'scenes with lines': _with_rows('scene', name='a\nb\x1b[31m'),
    'scenes that are lists': _with_rows('scene', name=[1]),
    'tokens that are lists': _with_rows('scene', token=[1]),
}

_SOUND: dict[str, Callable[[Path], Case]] = {
    kind: partial(lambda kind, folder: _tree_case(kind, folder, '', _sound(kind)), kind)
    for kind in _FORMATS
}

FAMILIES: Families = {
    'sound-tree': sound(_SOUND),
    'kitti-raw': Family(partial(_spoilt_tree, 'kitti-raw'), 70),
    'semantic-kitti': Family(partial(_spoilt_tree, 'semantic-kitti'), 70),
    'nuscenes': Family(partial(_spoilt_tree, 'nuscenes'), 90),
    'tree-listed': listed(_LISTED),
}
