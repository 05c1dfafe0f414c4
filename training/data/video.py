"""Posed video in image files, as training clips: what the readers of public datasets share."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_bytes
from selfocc_core.frames import Image
from selfocc_core.image_decoding import decode_image_file
from training.config import InputConfig
from training.data.assembly import Labelling, Moment, clips_of
from training.data.clip import Clip
from training.data.kept_video import VideoCache, facts_of
from training.data.labels import ImageName, LabelSource
from training.data.network_images import NetworkImages

_AHEAD = 16

Item = TypeVar('Item')
Result = TypeVar('Result')


@dataclass(frozen=True, eq=False)
class Video:
    """Frame sets whose images still lie in files.

    Attributes:
        name: Where it comes from.
        drive: Name of the drive, under which its labels lie.
        rig: The cameras.
        stamps_ns: Reference stamps ``[T]``, increasing.
        files: Image of each camera, for each frame set.
        world_from_ego: Poses ``[T, 4, 4]`` at the reference stamps.
        world_from_ego_at_shutter: Poses ``[T, N, 4, 4]`` at each camera's shutter time.
    """

    name: str
    drive: str
    rig: Rig
    stamps_ns: NDArray[np.int64]
    files: tuple[tuple[Path, ...], ...]
    world_from_ego: NDArray[np.float64]
    world_from_ego_at_shutter: NDArray[np.float64]


def read_clips(
    video: Video,
    config: InputConfig,
    labels: LabelSource | None = None,
    cache: VideoCache | None = None,
) -> list[Clip]:
    """Decode a video: a clip for each part without a gap, a jump of the pose or of the exposure.

    Args:
        video: Where its images lie.
        config: Images that the network takes.
        labels: Pseudo-labels, if there are any.
        cache: Where the decoded video is kept; in memory by default.

    Raises:
        SelfOccError: It has another number of cameras than the network, no three frame sets in
            a row, a pose that is not finite, an image that is damaged or of the wrong size, or
            labels that are missing or wrong.
    """
    if len(video.rig) != config.cameras:
        raise SelfOccError(
            f'{video.name} has {len(video.rig)} cameras, the preset takes {config.cameras}: '
            'choose another preset'
        )
    if not np.isfinite(video.world_from_ego_at_shutter).all():
        raise SelfOccError(f'{video.name} has poses that are not finite numbers: mend its poses')
    cameras = [NetworkImages(camera, config) for camera in video.rig]
    labelling, entry = None, None
    if labels is not None:
        labelling = Labelling(labels, video.drive, lambda wanted: _images(video, wanted))
    if cache is not None:
        entry = cache.entry('video', *_facts(video), config)
    return clips_of(video.name, cameras, _moments(video, cameras), labelling, entry)


def _facts(video: Video) -> tuple[object, ...]:
    """Return all that the decoded video is made of."""
    arrays = video.stamps_ns, video.world_from_ego, video.world_from_ego_at_shutter
    files = facts_of(path for files in video.files for path in files)
    return video.rig.content_hash, [array.tobytes() for array in arrays], files


def _moments(video: Video, cameras: Sequence[NetworkImages]) -> Iterator[Moment]:
    """Yield the moments in order; images are decoded some ahead, in threads."""

    def read(files: tuple[Path, ...]) -> list[tuple[Image, Image]]:
        return [read_images(*pair) for pair in zip(files, cameras, strict=True)]

    # Decoding leaves the interpreter to others, so threads are enough.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for index, images in enumerate(mapped_ahead(pool, read, video.files)):
            yield Moment(
                int(video.stamps_ns[index]),
                video.world_from_ego[index],
                video.world_from_ego_at_shutter[index],
                images,
                [path.stem for path in video.files[index]],
            )


def _images(video: Video, wanted: Collection[ImageName]) -> Iterator[tuple[ImageName, Image]]:
    """Yield images as the cameras took them."""
    for files in video.files:
        for camera, path in zip(video.rig, files, strict=True):
            name = ImageName(video.drive, camera.name, path.stem)
            if name in wanted:
                yield name, read_image(path)


def mapped_ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Yield the results of some work in order; ``_AHEAD`` are made before they are asked for."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def read_images(path: Path, make: NetworkImages) -> tuple[Image, Image]:
    """Return the network's input and the supervising image of an image file.

    Raises:
        SelfOccError: The file is missing, damaged or of another size than the calibration.
    """
    image, camera = read_image(path), make.camera
    height, width, _ = image.shape
    if (width, height) != (camera.width, camera.height):
        raise SelfOccError(
            f'image {path} is {width}x{height} but camera "{camera.name}" is calibrated for '
            f'{camera.width}x{camera.height}: do calibration and images belong together?'
        )
    return make(image)


def read_image(path: Path) -> Image:
    """Return the RGB image ``[H, W, 3]`` of a PNG or JPEG file.

    Raises:
        SelfOccError: The file is missing, unreasonably large, damaged or cut off.
    """
    data = read_bytes(path, 'image')
    decoded = decode_image_file(np.frombuffer(data, np.uint8))
    if decoded is None:
        raise SelfOccError(
            f'image {path} ({len(data)} bytes) is damaged: unpack it again, or leave it out'
        )
    return decoded
