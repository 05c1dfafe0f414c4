"""Posed video in image files, as training clips: what the readers of public datasets share."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import Image
from training.config import InputConfig
from training.data.clip import Clip
from training.data.network_images import NetworkImages

_MAX_IMAGE_BYTES, _MAX_IMAGE_PIXELS = 64 * 2**20, 64 * 10**6
# Of a file that was written to its end: where decoders accept half an image, we do not.
_ENDS = {b'\xff\xd8': b'\xff\xd9', b'\x89P': b'IEND'}
_LONGEST_GAP_NS = 1_000_000_000
_FASTEST_M_S = 70.0
_LEAST_FRAMES = 3


@dataclass(frozen=True, eq=False)
class Video:
    """Frame sets whose images still lie in files.

    Attributes:
        name: Where it comes from.
        rig: The cameras.
        stamps_ns: Reference stamps ``[T]``, increasing.
        files: Image of each camera, for each frame set.
        world_from_ego: Poses ``[T, 4, 4]`` at the reference stamps.
        world_from_ego_at_shutter: Poses ``[T, N, 4, 4]`` at each camera's shutter time.
    """

    name: str
    rig: Rig
    stamps_ns: NDArray[np.int64]
    files: tuple[tuple[Path, ...], ...]
    world_from_ego: NDArray[np.float64]
    world_from_ego_at_shutter: NDArray[np.float64]


def read_clips(video: Video, config: InputConfig) -> list[Clip]:
    """Decode a video: one clip for each part without a gap in time or a jump of the pose.

    Raises:
        SelfOccError: It has another number of cameras than the network, no three frame sets in
            a row, a pose that is not finite, or an image that is damaged or of the wrong size.
    """
    if len(video.rig) != config.cameras:
        raise SelfOccError(
            f'{video.name} has {len(video.rig)} cameras, the preset takes {config.cameras}: '
            'choose another preset'
        )
    if not np.isfinite(video.world_from_ego_at_shutter).all():
        raise SelfOccError(f'{video.name} has poses that are not finite numbers: mend its poses')
    parts = [part for part in _continuous_parts(video) if len(part) >= _LEAST_FRAMES]
    if not parts:
        raise SelfOccError(
            f'{video.name} has no {_LEAST_FRAMES} frames in a row with images and poses '
            f'({len(video.stamps_ns)} in all): training needs a longer piece'
        )
    return [_clip(video, part, config) for part in parts]


def _continuous_parts(video: Video) -> list[NDArray[np.intp]]:
    steps_ns = np.diff(video.stamps_ns)
    steps_m = np.linalg.norm(np.diff(video.world_from_ego[:, :3, 3], axis=0), axis=1)
    breaks = (steps_ns > _LONGEST_GAP_NS) | (steps_m > _FASTEST_M_S * 1e-9 * steps_ns)
    return np.split(np.arange(len(video.stamps_ns)), np.flatnonzero(breaks) + 1)


def _clip(video: Video, part: NDArray[np.intp], config: InputConfig) -> Clip:
    cameras = [NetworkImages(camera, config) for camera in video.rig]
    # Decoding leaves the interpreter to others, so threads are enough.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pairs = list(
            pool.map(
                lambda files: [read_images(*pair) for pair in zip(files, cameras, strict=True)],
                [video.files[frame] for frame in part],
            )
        )
    images = np.stack([[input_image for input_image, _ in frame] for frame in pairs])
    supervision_images = (
        images
        if cameras[0].are_equal
        else np.stack([[supervision for _, supervision in frame] for frame in pairs])
    )
    return Clip(
        name=video.name,
        stamps_ns=video.stamps_ns[part],
        images=images,
        supervision_images=supervision_images,
        input_from_ego=np.stack([c.input.input_from_ego for c in cameras]),
        supervision_from_ego=np.stack([c.supervision.input_from_ego for c in cameras]),
        world_from_ego=video.world_from_ego[part],
        world_from_ego_at_shutter=video.world_from_ego_at_shutter[part],
    )


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
    try:
        if path.stat().st_size > _MAX_IMAGE_BYTES:
            raise SelfOccError(f'image {path} is larger than 64 MiB: is it the right file?')
        data = path.read_bytes()
    except OSError as error:
        raise SelfOccError(f'cannot read image {path}: {error.strerror}') from error
    decoded = _decode(data)
    if decoded is None or decoded.shape[0] * decoded.shape[1] > _MAX_IMAGE_PIXELS:
        raise SelfOccError(
            f'image {path} ({len(data)} bytes) is damaged: unpack it again, or leave it out'
        )
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    end = _ENDS.get(data[:2])
    if end is None or end not in data[-4096:]:
        return None
    try:
        decoded: NDArray[np.uint8] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:
        return None
    return decoded
