"""Which topics feed the node's inputs: what its launch files need to know.

The topics of cameras follow a pattern in which ``{camera}`` stands for the camera's name, for
example ``/sensing/{camera}/image_raw``; ``camera_info`` is beside the images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from selfocc_core.bags import BagReader
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.drive_topics import camera_names, image_topic, info_topic, odometry_topic
from selfocc_core.errors import SelfOccError

_CAMERA, _COMPRESSED, _INFO = '{camera}', '/compressed', '/camera_info'
_TRANSFORM_TOPICS = ('/tf', '/tf_static')


def remappings(cameras: Sequence[str], image_pattern: str, odometry: str) -> list[tuple[str, str]]:
    """Return what to remap, as pairs of an input of the node and a topic.

    Args:
        cameras: Names of the cameras.
        image_pattern: Topics of their images; empty: the inputs are not remapped.
        odometry: Topic of the odometry; empty: likewise.

    Raises:
        SelfOccError: The pattern gives several cameras one topic.
    """
    rules = [('~/input/odometry', odometry)] if odometry else []
    if not image_pattern:
        return rules
    if _CAMERA not in image_pattern and len(cameras) > 1:
        raise SelfOccError(
            f'image_topic "{image_pattern}" is the same for all cameras: write {_CAMERA} where '
            'the name of the camera stands'
        )
    return [*rules, *(rule for camera in cameras for rule in _of_camera(camera, image_pattern))]


def cameras_in_parameters(path: Path | str) -> tuple[str, ...]:
    """Return the cameras that a parameter file of the node lists; the usual six if it does not.

    Raises:
        SelfOccError: The file cannot be read, or is no parameter file.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SelfOccError(
            f'parameter file {path} cannot be read ({type(error).__name__}): give a YAML file '
            'like config/surround.yaml'
        ) from error
    listed = [
        parameters['cameras'] for parameters in _sections(content) if 'cameras' in parameters
    ]
    if not listed:
        return nuscenes_like_rig().names
    if not isinstance(listed[-1], list):
        raise SelfOccError(f'parameter file {path}: cameras must be a list of names')
    return tuple(str(name) for name in listed[-1])


def arguments_of_drive(bag: BagReader, cameras: Sequence[str] = ()) -> dict[str, str]:
    """Return the arguments of ``surround.launch.py`` with which the node listens to a drive.

    Args:
        bag: The open drive.
        cameras: Names of the cameras; all that the drive has, if empty.

    Raises:
        SelfOccError: The drive has no cameras, or their topics follow no pattern.
    """
    names = tuple(cameras) or camera_names(bag)
    images = {name: image_topic(bag, name) for name in names}
    pattern = _pattern(bag, names[0], images[names[0]])
    for name, topic in images.items():
        if topic != pattern.replace(_CAMERA, name):
            raise SelfOccError(
                f'bag {bag.path} has the images {images[names[0]]} and {topic}: record all '
                'cameras under names of one pattern, or give cameras that have one'
            )
    return {
        'cameras': ','.join(names),
        'image_transport': 'compressed' if pattern.endswith(_COMPRESSED) else 'raw',
        'image_topic': pattern.removesuffix(_COMPRESSED),
        'odometry_topic': odometry_topic(bag),
    }


def topics_of_drive(bag: BagReader, cameras: Sequence[str] = ()) -> list[str]:
    """Return the topics of a drive that the node needs: not what a node published then."""
    names = tuple(cameras) or camera_names(bag)
    wanted = [topic for name in names for topic in (image_topic(bag, name), info_topic(bag, name))]
    return [t for t in (*wanted, odometry_topic(bag), *_TRANSFORM_TOPICS) if t in bag.topics]


def _of_camera(camera: str, image_pattern: str) -> Iterator[tuple[str, str]]:
    images = image_pattern.replace(_CAMERA, camera).removesuffix(_COMPRESSED)
    own, beside = f'~/input/{camera}', images.rpartition('/')[0]
    yield f'{own}/image', images
    yield f'{own}/image{_COMPRESSED}', images + _COMPRESSED
    yield own + _INFO, beside + _INFO if '/' in images else _INFO[1:]


def _pattern(bag: BagReader, camera: str, images: str) -> str:
    """Return the pattern of a camera's image topic."""
    namespace = info_topic(bag, camera).removesuffix(_INFO)
    group, _, name = namespace.rpartition('/')
    return f'{group}/{_CAMERA}{images[len(namespace) :]}' if name == camera else images


def _sections(content: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the parameters of every node in a parameter file, however deep its namespaces are."""
    if not isinstance(content, Mapping):
        return
    for name, value in content.items():
        if name == 'ros__parameters' and isinstance(value, Mapping):
            yield value
        else:
            yield from _sections(value)
