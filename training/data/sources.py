"""Where training data comes from, as the command line says it: ``FORMAT:PATH,option=value``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from selfocc_core.errors import SelfOccError
from training.config import InputConfig

if TYPE_CHECKING:
    from training.data.clip import Clip
    from training.data.kept_video import VideoCache
    from training.data.labels import LabelSource

_LABEL_OPTIONS = ('labels', 'labeller')
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    'bag': _LABEL_OPTIONS,
    'kitti-raw': ('frames', 'poses', *_LABEL_OPTIONS),
    'semantic-kitti': ('frames', 'poses', *_LABEL_OPTIONS),
    'nuscenes': ('scenes', *_LABEL_OPTIONS),
}

DATA_HELP = '\n'.join(
    (
        'Drives in other formats, with options after a comma:',
        'bag:PATH: the same as --bags; in folders, .mcap files and bag folders are found.',
        'kitti-raw:DRIVE: folder of a drive beside the calibration of its day, or a folder with '
        'such drives. frames=0:120: these frames, the end not included. poses=FILE: poses of '
        'rectified camera 0 for every frame of the drive, 12 numbers a line, instead of oxts.',
        'semantic-kitti:SEQUENCE: a folder such as sequences/00, or a folder with such folders. '
        'frames, poses: as above.',
        'nuscenes:ROOT: a tree with v1.0-* in it. scenes=scene-0061+scene-0103: these scenes.',
        'All formats: labels=DIR: pseudo-labels, DIR/<drive>/<camera>/<image>.png with 8-bit grey '
        'values, the number of the class or 255 for nothing; drive: bag without .mcap, folder or '
        'scene; image: stamp in nanoseconds, or name of the image file.',
        'labels=DIR,labeller=package.module:factory: those that DIR lacks are made by a labeller '
        '(runs this Python code), such as training.data.clipseg:clipseg, and kept in DIR.',
    )
)


@dataclass(frozen=True)
class Source:
    """A drive, or a tree of drives.

    Attributes:
        format: ``bag``, ``kitti-raw``, ``semantic-kitti`` or ``nuscenes``.
        path: Where it lies.
        options: What the reader of the format shall read of it.
    """

    format: str
    path: Path
    options: Mapping[str, str] = field(default_factory=dict)


def parse_source(text: str) -> Source:
    """Return the source that a text names; without a format it is a bag.

    Raises:
        SelfOccError: There is no such format or option.
    """
    format_name, colon, rest = text.partition(':')
    if format_name not in _OPTIONS:
        if not colon or Path(text).exists():
            return Source('bag', Path(text))
        raise SelfOccError(
            f'there is no data format "{format_name}": choose {", ".join(_OPTIONS)}'
        )
    path, *settings = rest.split(',')
    options = {}
    for setting in settings:
        name, equals, value = setting.partition('=')
        if not equals or name not in _OPTIONS[format_name]:
            raise SelfOccError(
                f'{format_name} has no option "{setting}": '
                f'{_known(format_name)}, as in --data {format_name}:PATH,name=value'
            )
        options[name] = value
    return Source(format_name, Path(path), options)


def _known(format_name: str) -> str:
    *others, last = _OPTIONS[format_name]
    return f'it has {", ".join(others)} and {last}'


def drives_of(source: Source) -> list[Source]:
    """Return each drive of a source: of a folder of drives all in it, by name.

    Raises:
        SelfOccError: The path does not exist, or holds no drive.
    """
    path = source.path
    if not path.exists() and source.format != 'bag':  # whose reader says more
        raise SelfOccError(f'there is no training data at {path}: correct the path')
    found = {'bag': _bags, 'kitti-raw': _kitti_drives, 'semantic-kitti': _sequences}
    paths = found[source.format](path) if source.format in found else [path]
    if not paths:
        raise SelfOccError(
            f'{path} holds no drive of the format {source.format}: correct the path'
        )
    return [Source(source.format, p, source.options) for p in paths]


def read_clips(
    source: Source,
    config: InputConfig,
    class_names: tuple[str, ...] = (),
    cache: VideoCache | None = None,
) -> list[Clip]:
    """Read a drive.

    Args:
        source: Where it lies, and its options.
        config: Images that the network takes.
        class_names: Classes of the network, in the order of their labels.
        cache: Where decoded video is kept; in memory by default.

    Raises:
        SelfOccError: It cannot be trained on.
    """
    from training.data import bag, kitti_raw, nuscenes, semantic_kitti

    labels = _labels_of(source, class_names)
    if source.format == 'bag':
        return bag.read_clips(source.path, config, labels, cache)
    readers: Mapping[str, Callable[..., list[Clip]]] = {
        'kitti-raw': kitti_raw.read_clips,
        'semantic-kitti': semantic_kitti.read_clips,
        'nuscenes': nuscenes.read_clips,
    }
    options = {k: value for k, value in source.options.items() if k not in _LABEL_OPTIONS}
    # What overflows in the arithmetic of a reader is refused where it must be finite.
    with np.errstate(over='ignore', invalid='ignore'):
        return readers[source.format](source.path, config, labels=labels, cache=cache, **options)


def _labels_of(source: Source, class_names: tuple[str, ...]) -> LabelSource | None:
    from training.data.labeller import load_labeller
    from training.data.labels import LabelFolder, LabelSource

    folder, entry = (source.options.get(name) for name in _LABEL_OPTIONS)
    if folder is None and entry is None:
        return None
    if folder is None:
        raise SelfOccError(
            f'labeller={entry} has no place for its labels: add labels=DIR, a folder that keeps '
            'them for the next run'
        )
    if not class_names:
        raise SelfOccError(
            f'there are labels in {folder} but the preset has no classes: choose '
            '--preset selfocc-tiny-semantic, or give --config.model.decoder.class-names'
        )
    load = None if entry is None else partial(load_labeller, entry, class_names)
    return LabelSource(LabelFolder(Path(folder), class_names), load)


def _bags(path: Path) -> list[Path]:
    if not path.is_dir() or (path / 'metadata.yaml').exists():
        return [path]
    folders = (metadata.parent for metadata in path.glob('*/metadata.yaml'))
    return sorted([*path.glob('*.mcap'), *folders])


def _kitti_drives(path: Path) -> list[Path]:
    if (path / 'image_02').is_dir():
        return [path]
    return sorted(folder.parent for folder in path.rglob('*_drive_*_sync/image_02'))


def _sequences(path: Path) -> list[Path]:
    is_sequence = (path / 'calib.txt').is_file()
    return [path] if is_sequence else sorted(p.parent for p in path.rglob('calib.txt'))
