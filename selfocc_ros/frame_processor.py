"""From synchronised messages to occupancy: what the inference thread does with a frame set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selfocc_core.backends import Backend
from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import CameraFrame, FrameSet, Image
from selfocc_core.pipeline import OccupancyPipeline, OccupancyResult
from selfocc_core.synchronizer import SynchronizedSet
from selfocc_ros.odometry_buffer import OdometryBuffer
from selfocc_ros.statistics import NodeStatistics

MessageSet = SynchronizedSet[Any]


class UnusableFrameSetError(SelfOccError):
    """A frame set from which no occupancy can be made; the text is the reason that is counted."""


class FrameProcessor:
    """Decodes the images of a frame set and runs the pipeline on them.

    Args:
        backend: The runtime with the model.
        rig: Asked for each frame set, since cameras may become known late.
        odometry: The vehicle's recent motion.
        decode: Returns the RGB image ``[H, W, 3]`` of a message.
        minimum_cameras: Sets with fewer usable images are not processed.
        statistics: Counts what is dropped and measures the stages.
        warn: Takes a sentence for the log.
    """

    def __init__(
        self,
        backend: Backend,
        rig: Callable[[], Rig | None],
        odometry: OdometryBuffer,
        decode: Callable[[Any], Image],
        minimum_cameras: int,
        statistics: NodeStatistics,
        warn: Callable[[str], None],
    ) -> None:
        self.backend = backend
        self._rig, self._odometry, self._decode = rig, odometry, decode
        self._minimum_cameras, self._statistics, self._warn = minimum_cameras, statistics, warn
        self._pipeline: OccupancyPipeline | None = None

    def __call__(self, messages: MessageSet) -> tuple[FrameSet, OccupancyResult, Rig, bool]:
        """Return the decoded frames, their occupancy, the rig, and whether odometry covered them.

        Raises:
            UnusableFrameSetError: There is no calibration, or there are too few usable images.
            SelfOccError: Rig and model do not fit.
        """
        pipeline = self._current_pipeline()
        with self._statistics.stage('decode'):
            frame_set = self._decoded(messages, pipeline.rig)
        if len(frame_set.frames) < self._minimum_cameras:
            raise UnusableFrameSetError('too few usable images')
        stamps_ns = [messages.stamp_ns, *messages.stamps_ns.values()]
        motion = self._odometry.covering(stamps_ns)
        with self._statistics.stage('inference'):
            result = pipeline.process(frame_set, motion)
        return frame_set, result, pipeline.rig, motion is not None

    def _current_pipeline(self) -> OccupancyPipeline:
        rig = self._rig()
        if rig is None:
            raise UnusableFrameSetError('no camera is calibrated yet')
        if self._pipeline is None or self._pipeline.rig is not rig:
            self._pipeline = OccupancyPipeline(self.backend, rig)
        return self._pipeline

    def _decoded(self, messages: MessageSet, rig: Rig) -> FrameSet:
        frames: dict[str, CameraFrame] = {}
        for camera, message in messages.payloads.items():
            image = self._usable_image(camera, message, rig)
            if image is not None:
                frames[camera] = CameraFrame(camera, messages.stamps_ns[camera], image)
        return FrameSet(messages.stamp_ns, frames)

    def _usable_image(self, camera: str, message: Any, rig: Rig) -> Image | None:
        if camera not in rig.names:
            self._statistics.image_dropped(camera, 'not calibrated')
            return None
        try:
            image = self._decode(message)
        except SelfOccError as error:
            self._refuse(camera, 'cannot be decoded', str(error))
            return None
        expected = (rig[camera].height, rig[camera].width, 3)
        if image.shape != expected:
            self._refuse(
                camera,
                'wrong size',
                f'camera "{camera}" sends {image.shape[1]}x{image.shape[0]} images but is '
                f'calibrated for {expected[1]}x{expected[0]}: fix its calibration',
            )
            return None
        return image

    def _refuse(self, camera: str, reason: str, sentence: str) -> None:
        self._statistics.image_dropped(camera, reason)
        self._warn(sentence)
