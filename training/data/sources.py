"""Where training data comes from, as the command line says it: ``FORMAT:PATH,option=value``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from selfocc_core.errors import SelfOccError
from training.config import InputConfig

if TYPE_CHECKING:
    from training.data.clip import Clip

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    'bag': (),
    'kitti-raw': ('frames', 'poses'),
    'semantic-kitti': ('frames', 'poses'),
    'nuscenes': ('scenes',),
}

DATA_HELP = '\n'.join(
    (
        'Drives in other formats, with options after a comma:',
        'bag:PATH: the same as --bags.',
        'kitti-raw:DRIVE: folder of a drive beside the calibration of its day, or a folder with '
        'such drives. frames=0:120: these frames, the end not included. poses=FILE: poses of '
        'rectified camera 0 for every frame of the drive, 12 numbers a line, instead of oxts.',
        'semantic-kitti:SEQUENCE: a folder such as sequences/00, or a folder with such folders. '
        'frames, poses: as above.',
        'nuscenes:ROOT: a tree with v1.0-* in it. scenes=scene-0061+scene-0103: these scenes.',
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
    return (
        f'it has {" and ".join(_OPTIONS[format_name])}' if _OPTIONS[format_name] else 'it has none'
    )


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


def read_clips(source: Source, config: InputConfig) -> list[Clip]:
    """Read a drive.

    Raises:
        SelfOccError: It cannot be trained on.
    """
    from training.data import bag, kitti_raw, nuscenes, semantic_kitti

    if source.format == 'bag':
        return [bag.read_clip(source.path, config)]
    readers: Mapping[str, Callable[..., list[Clip]]] = {
        'kitti-raw': kitti_raw.read_clips,
        'semantic-kitti': semantic_kitti.read_clips,
        'nuscenes': nuscenes.read_clips,
    }
    return readers[source.format](source.path, config, **source.options)


def _bags(path: Path) -> list[Path]:
    is_folder_of_bags = path.is_dir() and not (path / 'metadata.yaml').exists()
    return sorted(path.glob('*.mcap')) if is_folder_of_bags else [path]


def _kitti_drives(path: Path) -> list[Path]:
    if (path / 'image_02').is_dir():
        return [path]
    return sorted(folder.parent for folder in path.rglob('*_drive_*_sync/image_02'))


def _sequences(path: Path) -> list[Path]:
    is_sequence = (path / 'calib.txt').is_file()
    return [path] if is_sequence else sorted(p.parent for p in path.rglob('calib.txt'))
