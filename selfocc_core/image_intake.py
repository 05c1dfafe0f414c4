"""From a camera's message, as it came over the wire, to the network's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from selfocc_core.backends import Backend
from selfocc_core.bag_messages import pixel_array, stamp_ns_of, typestore
from selfocc_core.cameras import Camera, Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import Image
from selfocc_core.image_faults import FROZEN, FreezeWatch, exposure_fault
from selfocc_core.pipeline import OccupancyPipeline

RAW_TYPE, COMPRESSED_TYPE = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
DAMAGED_MESSAGE = 'damaged message'
DAMAGED_IMAGE = 'cannot be decoded'
WRONG_SIZE = 'wrong size'
NOT_CALIBRATED = 'not calibrated'
DOES_NOT_FIT = 'calibration does not fit the model'
_SETTLED_SIZES = 3
_SAME_ASPECT = 0.01


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """What became of a camera's message.

    Attributes:
        stamp_ns: Shutter time; ``None`` if not even that could be read.
        image: Network input ``[H, W, 3]``, if the image can be used.
        pipeline: The pipeline that prepared it.
        generation: How often the calibration had changed by then.
        fault: Why it cannot be used; a short reason to count.
        sentence: The same with names, numbers and the remedy; or what else there is to say.
    """

    stamp_ns: int | None
    image: Image | None = None
    pipeline: OccupancyPipeline | None = None
    generation: int = 0
    fault: str | None = None
    sentence: str = ''


class _UnusableError(SelfOccError):
    """An image that cannot be used."""

    def __init__(self, fault: str, sentence: str) -> None:
        super().__init__(sentence)
        self.fault = fault


@dataclass(eq=False)
class PipelineSource:
    """The pipeline for the present calibration; a new one when the calibration changed.

    Attributes:
        backend: The runtime with the model.
        rig: Asked for the calibration; returns a new object when something changed.
        slots: The cameras in the order of the network's inputs.
        generation: How many pipelines there have been.
    """

    backend: Backend
    rig: Callable[[], Rig | None]
    slots: Sequence[str]
    generation: int = 0
    _sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    _built_for: Rig | None = None
    _pipeline: OccupancyPipeline | None = None

    def current(self) -> OccupancyPipeline | None:
        """Return the pipeline; ``None`` while no camera is calibrated.

        Raises:
            SelfOccError: The calibration does not fit the model.
        """
        rig = self.rig()
        if rig is None or rig is not self._built_for:
            self._pipeline, self._built_for = None, rig
        if rig is not None and self._pipeline is None:
            cameras = tuple(_at_size(camera, self._sizes.get(camera.name)) for camera in rig)
            self._pipeline = OccupancyPipeline(self.backend, Rig(cameras), self.slots)
            self.generation += 1
        return self._pipeline

    def adopt_size(self, camera: str, width: int, height: int) -> None:
        """Let a camera's images be smaller or larger than those it was calibrated with.

        Raises:
            SelfOccError: The model does not fit such images; then nothing changes.
        """
        former, self._sizes = self._sizes, {**self._sizes, camera: (width, height)}
        self._pipeline = None
        try:
            self.current()
        except SelfOccError:
            self._sizes = former
            raise


def _at_size(camera: Camera, size: tuple[int, int] | None) -> Camera:
    return camera if size is None else camera.scaled_to(*size)


class ImageIntake:
    """Parses, decodes, checks and prepares each image as it arrives.

    By the time a frame set is complete, only its last image is still to be prepared.

    Args:
        compressed: Whether messages are ``CompressedImage`` instead of ``Image``.
        pipelines: Knows how each camera's images are prepared.
        decode: Returns the RGB image ``[H, W, 3]`` of a message.
        frozen_after: So many equal images in a row make a frozen camera; 0 never.
    """

    def __init__(
        self,
        compressed: bool,
        pipelines: PipelineSource,
        decode: Callable[[Any], Image],
        frozen_after: int,
    ) -> None:
        self._type = COMPRESSED_TYPE if compressed else RAW_TYPE
        self._pipelines, self._decode = pipelines, decode
        self._sizes = {name: _SizeWatch() for name in pipelines.slots}
        self._notices: dict[str, str] = {}
        self._freezes = {name: FreezeWatch(frozen_after) for name in pipelines.slots}

    def __call__(self, camera: str, raw: bytes) -> PreparedImage:
        """Return what becomes of a serialised message; never raises for what is in it."""
        try:
            message = typestore().deserialize_cdr(raw, self._type)
        except Exception:  # whatever the parser stumbles over: the bytes come from outside
            sentence = f'a message of camera "{camera}" is cut off or damaged: check its driver'
            return PreparedImage(None, fault=DAMAGED_MESSAGE, sentence=sentence)
        stamp_ns = stamp_ns_of(message)
        try:
            image, pipeline = self._prepare(camera, message)
        except _UnusableError as error:
            return PreparedImage(stamp_ns, fault=error.fault, sentence=str(error))
        notice = self._notices.pop(camera, '')
        return PreparedImage(
            stamp_ns, image, pipeline, self._pipelines.generation, sentence=notice
        )

    def _prepare(self, camera: str, message: Any) -> tuple[Image, OccupancyPipeline]:
        pipeline = self._pipeline_for(camera)
        image, is_bgr = self._decoded(message)
        if image.shape[:2] != _size(pipeline, camera):
            pipeline = self._adapted(camera, image, pipeline)
        prepared = pipeline.prepare(camera, image)
        if is_bgr:
            prepared = np.ascontiguousarray(prepared[..., ::-1])
        fault = exposure_fault(prepared)
        if self._freezes[camera].is_frozen(prepared) and fault is None:
            fault = FROZEN
        if fault is not None:
            raise _UnusableError(
                fault, f'camera "{camera}" sends a {fault}: check camera and lens'
            )
        return prepared, pipeline

    def _pipeline_for(self, camera: str) -> OccupancyPipeline:
        try:
            pipeline = self._pipelines.current()
        except SelfOccError as error:
            raise _UnusableError(DOES_NOT_FIT, str(error)) from error
        if pipeline is None or camera not in pipeline.rig.names:
            raise _UnusableError(NOT_CALIBRATED, f'camera "{camera}" is not calibrated yet')
        return pipeline

    def _decoded(self, message: Any) -> tuple[Image, bool]:
        """Return the image, and whether its channels are still to be put in order.

        That is cheaper for the network's small input than for the camera's large image.
        """
        try:
            if getattr(message, 'encoding', '') == 'bgr8':
                return pixel_array(message, np.dtype(np.uint8), 3), True
            return self._decode(message), False
        except SelfOccError as error:
            raise _UnusableError(DAMAGED_IMAGE, str(error)) from error

    def _adapted(
        self, camera: str, image: Image, pipeline: OccupancyPipeline
    ) -> OccupancyPipeline:
        """Return a pipeline for scaled images, once several of them came in a row."""
        (height, width), full = image.shape[:2], _size(pipeline, camera)
        sizes = f'{width}x{height} images but is calibrated for {full[1]}x{full[0]}'
        scaled = self._is_scaled((height, width), full, pipeline)
        if not self._sizes[camera].is_settled(height, width) or not scaled:
            sentence = f'camera "{camera}" sends {sizes}: fix its calibration'
            raise _UnusableError(WRONG_SIZE, sentence)
        try:
            self._pipelines.adopt_size(camera, width, height)
        except SelfOccError as error:
            raise _UnusableError(DOES_NOT_FIT, str(error)) from error
        self._notices[camera] = f'camera "{camera}" sends {sizes}: they are taken to be resized'
        return self._pipeline_for(camera)

    @staticmethod
    def _is_scaled(
        size: tuple[int, int], full: tuple[int, int], pipeline: OccupancyPipeline
    ) -> bool:
        """Whether images of a size can be those of another size resized."""
        spec = pipeline.card.input
        large_enough = 4 * size[0] >= spec.height and 4 * size[1] >= spec.width
        return large_enough and abs(size[1] * full[0] / (size[0] * full[1]) - 1) <= _SAME_ASPECT


class _SizeWatch:
    """Tells a camera that sends another size from a single odd image."""

    def __init__(self) -> None:
        self._size, self._count = (0, 0), 0

    def is_settled(self, height: int, width: int) -> bool:
        same = (height, width) == self._size
        self._size, self._count = (height, width), self._count + 1 if same else 1
        return self._count >= _SETTLED_SIZES


def _size(pipeline: OccupancyPipeline, camera: str) -> tuple[int, int]:
    return pipeline.rig[camera].height, pipeline.rig[camera].width
