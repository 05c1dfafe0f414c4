"""From synchronised images to occupancy: what the inference thread does with a frame set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import CameraFrame, FrameSet
from selfocc_core.image_intake import PreparedImage
from selfocc_core.pipeline import OccupancyPipeline, OccupancyResult
from selfocc_core.synchronizer import SynchronizedSet
from selfocc_core.transforms import Trajectory

ImageSet = SynchronizedSet[PreparedImage]
RECALIBRATED = 'calibration changed'


class UnusableFrameSetError(SelfOccError):
    """A frame set from which no occupancy can be made; the text is the reason that is counted."""


@dataclass(frozen=True, eq=False)
class ProcessedSet:
    """A frame set with its occupancy.

    Attributes:
        frame_set: The images that were used.
        result: Their occupancy.
        rig: The calibration it was made with.
        unused: Why the images of the other cameras in the set were not used.
        with_odometry: Whether the vehicle's motion between the shutters was compensated.
    """

    frame_set: FrameSet
    result: OccupancyResult
    rig: Rig
    unused: Mapping[str, str]
    with_odometry: bool


@dataclass(frozen=True, eq=False)
class FrameProcessor:
    """Runs the pipeline on the usable images of a frame set.

    Attributes:
        minimum_cameras: Sets with fewer usable images are not processed.
        stage: Measures the stage of that name.
    """

    minimum_cameras: int
    stage: Callable[[str], AbstractContextManager[None]]

    def __call__(self, images: ImageSet, motion: Trajectory | None) -> ProcessedSet:
        """Return the occupancy of a frame set.

        Args:
            images: The frame set.
            motion: The vehicle's motion over its stamps, where it is known.

        Raises:
            UnusableFrameSetError: There are too few usable images.
            SelfOccError: The backend refuses them.
        """
        unused = unusable(images)
        frames = {
            name: CameraFrame(name, images.stamps_ns[name], prepared.image)
            for name, prepared in images.payloads.items()
            if name not in unused and prepared.image is not None
        }
        pipeline = newest_pipeline(images)
        if pipeline is None or len(frames) < self.minimum_cameras:
            raise UnusableFrameSetError('too few usable images')
        frame_set = FrameSet(images.stamp_ns, frames)
        with self.stage('assemble'):
            inputs = pipeline.assemble(frame_set, motion)
        with self.stage('model'):
            outputs = pipeline.backend.infer(inputs)
        with self.stage('interpret'):
            result = pipeline.interpret(outputs, frame_set)
        return ProcessedSet(frame_set, result, pipeline.rig, unused, motion is not None)


def newest_pipeline(images: ImageSet) -> OccupancyPipeline | None:
    """Return the pipeline of the newest calibration, if any image is usable."""
    usable = [image for image in images.payloads.values() if image.pipeline is not None]
    newest = max(usable, key=lambda image: image.generation, default=None)
    return None if newest is None else newest.pipeline


def unusable(images: ImageSet) -> dict[str, str]:
    """Return the images of a set that cannot be used, with the reasons."""
    pipeline = newest_pipeline(images)
    reasons = {}
    for name, image in images.payloads.items():
        if image.fault is not None:
            reasons[name] = image.fault
        elif image.pipeline is not pipeline:
            reasons[name] = RECALIBRATED
    return reasons
