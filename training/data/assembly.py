"""From moments of surround video to training clips: what the readers of all formats share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.frames import Image
from selfocc_core.transforms import Transform
from training.data.clip import Clip
from training.data.kept_video import Arrays, kept
from training.data.labels import Decode, LabelSource
from training.data.network_images import NetworkImages

LEAST_FRAMES = 3

_LONGEST_GAP_NS = 1_000_000_000
_FASTEST_M_S = 70.0
# Where a camera's image gets brighter or darker by more than this from one moment to the next, its
# exposure jumped: the same surface does not look the same. The floor keeps nights quiet.
_LARGEST_EXPOSURE_FACTOR, _BRIGHTNESS_FLOOR = 2.0, 24.0

_PIXELS = 'images', 'supervision'

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame set with all cameras.

    Attributes:
        stamp_ns: Reference stamp.
        world_from_ego: Pose at the reference stamp.
        world_from_ego_at_shutter: Poses ``[N, 4, 4]`` at each camera's shutter time.
        images: Network input and supervising image of each camera.
        image_names: Names under which the labels of the images lie.
    """

    stamp_ns: int
    world_from_ego: Transform
    world_from_ego_at_shutter: NDArray[np.float64]
    images: Sequence[tuple[Image, Image]]
    image_names: Sequence[str]


@dataclass(frozen=True)
class Labelling:
    """Where the pseudo-labels of a video come from.

    Attributes:
        source: Has or makes them.
        drive: Name of the drive, under which they lie.
        decode: Gives images that have none yet.
    """

    source: LabelSource
    drive: str
    decode: Decode

    def of(
        self,
        cameras: Sequence[NetworkImages],
        image_names: Sequence[Sequence[str]],
        video: Path | None,
    ) -> NDArray[np.uint8]:
        """Return the labels of the supervising images ``[T, N, H', W']``; kept as the video is."""
        makers = [camera.supervision for camera in cameras]
        return self.source.of(self.drive, makers, image_names, self.decode, video)


def clips_of(
    name: str,
    cameras: Sequence[NetworkImages],
    moments: Iterable[Moment],
    labelling: Labelling | None = None,
    entry: Path | None = None,
) -> list[Clip]:
    """Make a clip of each part of a video without a gap, a jump of the pose or of the exposure.

    So nothing is ever matched across one. Parts of fewer than three moments are left out.

    Args:
        name: Where the video comes from.
        cameras: Its cameras, in order.
        moments: In order of time; not looked at if they are kept already.
        labelling: Gives their pseudo-labels, if there are any.
        entry: Where the decoded video is kept (``kept_video``), its labels beside it; in memory by
            default.

    Raises:
        SelfOccError: There are no three moments in a row, or labels are missing or wrong.
    """
    if entry is None:
        arrays = _in_memory(moments)
    else:
        arrays = kept(entry, lambda folder: _in_files(moments, folder))
    parts = [part for part in _parts(name, arrays) if part.stop - part.start >= LEAST_FRAMES]
    if not parts:
        raise SelfOccError(
            f'{name} has no {LEAST_FRAMES} frames in a row with images, poses and a steady '
            f'exposure ({len(arrays["stamps_ns"])} in all): training needs a longer piece'
        )
    video = _clip(name, cameras, arrays)
    if labelling is not None:
        labels = labelling.of(cameras, arrays['image_names'].tolist(), entry)
        video = replace(video, supervision_labels=labels)
    return [video[part] for part in parts]


def _in_memory(moments: Iterable[Moment]) -> Arrays:
    streams = {name: BytesIO() for name in _PIXELS}
    arrays = _streamed(moments, streams)
    for name, stream in streams.items():
        if f'{name}_shape' in arrays:
            pixels = np.frombuffer(stream.getbuffer(), np.uint8)
            arrays[name] = pixels.reshape(arrays[f'{name}_shape'])
    return arrays


def _in_files(moments: Iterable[Moment], folder: Path) -> Arrays:
    with ExitStack() as stack:
        files = {n: stack.enter_context((folder / f'{n}.u8').open('wb')) for n in _PIXELS}
        return _streamed(moments, files)


def _streamed(moments: Iterable[Moment], streams: Mapping[str, IO[bytes]]) -> Arrays:
    """Write the pixels as they come, so that none is held twice; return all else and their shapes.

    The stream of supervising images stays empty where the network's input supervises too.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def write(pairs: Sequence[tuple[Image, Image]]) -> None:
        is_equal = pairs[0][0] is pairs[0][1]
        for name, images in zip(_PIXELS, zip(*pairs, strict=True), strict=True):
            if name == 'images' or not is_equal:
                streams[name].writelines(image.tobytes() for image in images)
                shapes[name] = len(images), *images[0].shape

    arrays = _without_images(moments, write)
    count = len(arrays['stamps_ns'])
    return arrays | {f'{name}_shape': np.array([count, *s]) for name, s in shapes.items()}


def _without_images(
    moments: Iterable[Moment], keep: Callable[[Sequence[tuple[Image, Image]]], object]
) -> Arrays:
    """Return all but the images of moments, which are handed on."""
    stamps_ns, poses, poses_at_shutter, names, brightness = [], [], [], [], []
    for moment in moments:
        keep(moment.images)
        stamps_ns.append(moment.stamp_ns)
        poses.append(moment.world_from_ego)
        poses_at_shutter.append(moment.world_from_ego_at_shutter)
        names.append(moment.image_names)
        brightness.append([float(image.mean()) for image, _ in moment.images])
    return {
        'stamps_ns': np.array(stamps_ns, np.int64),
        'world_from_ego': np.array(poses, np.float64),
        'world_from_ego_at_shutter': np.array(poses_at_shutter, np.float64),
        'image_names': np.array(names, np.str_),
        'brightness': np.array(brightness, np.float64),
    }


def _clip(name: str, cameras: Sequence[NetworkImages], arrays: Arrays) -> Clip:
    return Clip(
        name=name,
        stamps_ns=arrays['stamps_ns'],
        images=arrays['images'],
        supervision_images=arrays.get('supervision', arrays['images']),
        input_from_ego=np.stack([c.input.input_from_ego for c in cameras]),
        supervision_from_ego=np.stack([c.supervision.input_from_ego for c in cameras]),
        world_from_ego=arrays['world_from_ego'],
        world_from_ego_at_shutter=arrays['world_from_ego_at_shutter'],
    )


def _parts(name: str, arrays: Arrays) -> list[slice]:
    """Return the parts without a break; a video without a moment has none."""
    stamps_ns, positions_m = arrays['stamps_ns'], arrays['world_from_ego'][..., :3, 3]
    if len(stamps_ns) == 0:
        return []
    steps_ns = np.diff(stamps_ns)
    steps_m = np.linalg.norm(np.diff(positions_m, axis=0), axis=1)
    jumps = _exposure_jumps(arrays['brightness'])
    if jumps.any():
        _log.warning(
            '%s: the exposure of a camera jumps %d times; nothing is matched across these jumps',
            name,
            np.count_nonzero(jumps),
        )
    is_break = (steps_ns > _LONGEST_GAP_NS) | (steps_m > _FASTEST_M_S * 1e-9 * steps_ns) | jumps
    edges = [0, *(np.flatnonzero(is_break) + 1).tolist(), len(stamps_ns)]
    return [slice(first, end) for first, end in pairwise(edges)]


def _exposure_jumps(brightness: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return between which moments ``[T - 1]`` the brightness ``[T, N]`` of a camera jumps."""
    steps = np.diff(np.log(brightness + _BRIGHTNESS_FLOOR), axis=0)
    return np.asarray((np.abs(steps) > np.log(_LARGEST_EXPOSURE_FACTOR)).any(1), bool)
