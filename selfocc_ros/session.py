"""Everything the node holds between configure and cleanup."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

import numpy as np
from rclpy.lifecycle import LifecycleNode

from selfocc_core.backends import open_backend
from selfocc_core.errors import SelfOccError
from selfocc_core.frame_processor import (
    FrameProcessor,
    ImageSet,
    UnusableFrameSetError,
    unusable,
)
from selfocc_core.health import Health, HealthMonitor, Level
from selfocc_core.image_intake import ImageIntake, PipelineSource, PreparedImage
from selfocc_core.pipeline import OccupancyPipeline, OccupancyResult
from selfocc_core.synchronizer import Synchronizer, SynchronizerConfig
from selfocc_core.voxels import VoxelGrid, height_band
from selfocc_ros.conversions import decode_image
from selfocc_ros.diagnostics import Account
from selfocc_ros.inputs import ImageInputs, MotionInput, calibration_source, image_topics
from selfocc_ros.intake_worker import IntakeWorker
from selfocc_ros.latest_only_worker import LatestOnlyWorker
from selfocc_ros.outputs import Outputs
from selfocc_ros.parameters import NodeParameters
from selfocc_ros.services import Services, save_grid
from selfocc_ros.statistics import NOBODY_LISTENS, NodeStatistics
from selfocc_ros.transform_listener import TransformListener

_NANOSECONDS_PER_MS = 1_000_000
_WARN_PERIOD_S = 5.0
_NO_TIME = 'no time to decode it'
_DEACTIVATED = 'deactivated'


class Session:
    """A loaded model with its inputs and outputs.

    Images arrive in the executor's thread; a second thread decodes, prepares and synchronises
    them; a third makes occupancy of the newest frame set and publishes it.

    Args:
        node: The node that owns the topics.
        parameters: Its parameters.

    Raises:
        SelfOccError: Model, rig or parameters cannot be used.
    """

    def __init__(self, node: LifecycleNode, parameters: NodeParameters) -> None:
        self._node, self._parameters = node, parameters
        self.backend = open_backend(
            parameters.model_path,
            parameters.threads or None,
            parameters.backend,
            self._inform,
            parameters.engine_precision,
        )
        with ExitStack() as opened:  # if the rest fails, the device's memory is given back
            opened.callback(self.backend.close)
            self._open(node, parameters)
            opened.pop_all()

    def _open(self, node: LifecycleNode, parameters: NodeParameters) -> None:
        check_height_band(parameters, self.backend.card.grid.to_grid())
        self.statistics = NodeStatistics(parameters.cameras)
        self._lock = Lock()  # of the synchroniser and what stands beside it
        self._transforms = _transforms(node, parameters)
        self._motion = MotionInput(node, parameters, self._transforms)
        self.rigs = calibration_source(node, parameters, self._transforms)
        if self.rigs.rig is not None:
            OccupancyPipeline(self.backend, self.rigs.rig)  # a rig that does not fit fails here
        self._outputs = Outputs(node, parameters.cameras)
        self._services = Services(node, self.reset, self._save)
        self._inputs: ImageInputs | None = None
        self._intake: IntakeWorker | None = None
        self._inference: LatestOnlyWorker[ImageSet] | None = None
        self.latest: OccupancyResult | None = None
        self._started_s = self.statistics.clock_s()
        self._begin_afresh()

    def _begin_afresh(self) -> None:
        """Forget what was seen of the cameras; the counts stay."""
        parameters = self._parameters
        pipelines = PipelineSource(self.backend, lambda: self.rigs.rig, parameters.cameras)
        self._prepare = ImageIntake(
            parameters.image_transport == 'compressed',
            pipelines,
            decode_image,
            parameters.frozen_after,
        )
        self._process_set = FrameProcessor(parameters.minimum_cameras, self.statistics.stage)
        self.synchronizer: Synchronizer[PreparedImage] = Synchronizer(
            parameters.cameras, _synchronizer_config(parameters)
        )
        self._health = self._new_health()
        self.health = Health(Level.OK, {}, 'not active', ())
        self._clock_jumps, self._anchor = 0, self.synchronizer.acting_anchor

    def _new_health(self) -> HealthMonitor:
        parameters = self._parameters
        return HealthMonitor(
            parameters.cameras,
            parameters.minimum_cameras,
            parameters.silent_after_ms * 1e-3,
            self.statistics.clock_s(),
        )

    @property
    def parameters(self) -> NodeParameters:
        """The parameters in effect."""
        return self._parameters

    def update(self, parameters: NodeParameters) -> None:
        """Take over live parameters.

        Raises:
            SelfOccError: They do not fit the model's grid.
        """
        check_height_band(parameters, self.backend.card.grid.to_grid())
        with self._lock:
            self._parameters = parameters
            self.synchronizer.config = _synchronizer_config(parameters)

    @property
    def inference(self) -> dict[str, str]:
        """Backend and model for diagnostics, how it runs, and why no better one was taken."""
        card = self.backend.card
        rejected = self.backend.rejected.items()
        return {
            'backend': self.backend.name,
            'model': f'{card.name} {card.version}',
            **self.backend.details,
            **{f'backend not taken: {name}': reason for name, reason in rejected},
        }

    @property
    def silent_s(self) -> float:
        """How long nothing has been published since images are taken."""
        published_s = self.statistics.published_at_s
        return self.statistics.clock_s() - max(self._started_s, published_s or self._started_s)

    @property
    def active(self) -> bool:
        """Whether images are taken."""
        return self._inputs is not None

    def start(self) -> None:
        """Begin to take images."""
        self._health, self._started_s = self._new_health(), self.statistics.clock_s()
        self._inference = LatestOnlyWorker(
            self._process, lambda images: self._lose(images, 'superseded by a newer one')
        )
        self._intake = IntakeWorker(
            self._take, self._poll, lambda camera: self.statistics.image_dropped(camera, _NO_TIME)
        )
        self._inputs = ImageInputs(self._node, self._parameters, self._on_image)

    def stop(self) -> None:
        """Take no more images; the frame set at work is finished, what waits is counted."""
        if self._inputs is None or self._intake is None or self._inference is None:
            return
        self._inputs.close()
        for camera, count in self._intake.stop().items():
            self.statistics.image_dropped(camera, _DEACTIVATED, count)
        self.reset()
        for images in self._inference.stop():
            self._lose(images, _DEACTIVATED)
        self.statistics.absorb(self.synchronizer.dropped)
        self._inputs = self._intake = self._inference = None
        self._begin_afresh()

    def reset(self) -> None:
        """Forget waiting images and the motion, as when a recording begins anew."""
        with self._lock:
            self.synchronizer.reset()
        self._motion.buffer.clear()

    def close(self) -> None:
        """Give up topics and model."""
        self.stop()
        self._services.close()
        self.rigs.close()
        self._motion.close()
        if self._transforms is not None:
            self._transforms.close()
        self._outputs.destroy()
        self.backend.close()

    def assess(self) -> Health:
        """Return the state of the cameras, and log what changed."""
        with self._lock:
            self.health = self._health.assess(self.statistics.clock_s())
            former, self._anchor = self._anchor, self.synchronizer.acting_anchor
        for event in self.health.events:
            self._log(event.level, event.sentence)
        if former != self._anchor:
            self._log(Level.WARN, f'camera "{self._anchor}" gives the stamps now, not "{former}"')
        return self.health

    def account(self) -> Account:
        """Return what the diagnostics tell of."""
        with self._lock:  # an image that moves on meanwhile would be counted twice, or not at all
            statistics = self.statistics.snapshot()
            waiting = dict(self.synchronizer.waiting)
            dropped = {name: dict(of) for name, of in self.synchronizer.dropped.items()}
            synchronizer = {
                'anchor': self.synchronizer.acting_anchor or 'none',
                'clock_jumps': self.synchronizer.clock_jumps,
            }
        return Account(
            statistics=statistics,
            health=self.health,
            synchronizer_dropped=dropped,
            waiting=waiting,
            synchronizer=synchronizer,
            topics={
                camera: self._node.resolve_topic_name(topic)
                for camera, topic in image_topics(self._parameters).items()
            },
            calibration=dict(self.rigs.problems),
            inference=self.inference,
            active=self.active,
        )

    def _save(self) -> Path:
        parameters = self._parameters
        return save_grid(self.latest, parameters.save_path, parameters.base_frame)

    def _on_image(self, camera: str, raw: bytes) -> None:
        self.statistics.image_arrived(camera)
        if self._intake is not None:
            self._intake.submit(camera, raw)

    def _take(self, camera: str, raw: bytes) -> None:
        """Prepare an image and hand it to the synchroniser; in the intake's thread."""
        with self.statistics.stage('prepare'):
            image = self._prepare(camera, raw)
        if image.fault is not None:
            self._warn(image.sentence)
        if image.stamp_ns is None:
            self.statistics.image_dropped(camera, image.fault or '')
            self._hear(camera, image.fault)
            return
        now_ns = self._node.get_clock().now().nanoseconds
        self.statistics.clock_compared(camera, (now_ns - image.stamp_ns) * 1e-9)
        self._synchronize(camera, image.stamp_ns, image)

    def _synchronize(self, camera: str, stamp_ns: int, image: PreparedImage) -> None:
        with self._lock:
            refused = self.synchronizer.refused(camera)
            self.statistics.image_handed_on(camera)
            sets = self.synchronizer.push(camera, stamp_ns, image, time.monotonic_ns())
            self._count(sets)
            wrong_clock = self.synchronizer.refused(camera) > refused
            jumped = self.synchronizer.clock_jumps > self._clock_jumps
            self._clock_jumps = self.synchronizer.clock_jumps
        self._hear(camera, 'its clock disagrees with the others' if wrong_clock else image.fault)
        if jumped:
            self._motion.buffer.clear()
            self._warn('the clock of the images jumped: waiting images and motion are forgotten')
        self._submit(sets)

    def _hear(self, camera: str, fault: str | None) -> None:
        with self._lock:
            self._health.image_arrived(camera, fault, self.statistics.clock_s())

    def _poll(self) -> None:
        """Let frame sets go that have waited long enough for late cameras."""
        with self._lock:
            sets = self.synchronizer.poll(time.monotonic_ns())
            self._count(sets)
        self._submit(sets)

    def _count(self, sets: Sequence[ImageSet]) -> None:
        for images in sets:
            self.statistics.set_formed(images.payloads)

    def _submit(self, sets: Sequence[ImageSet]) -> None:
        for images in sets:
            if self._inference is None:
                self._lose(images, _DEACTIVATED)
            else:
                self._inference.submit(images)

    def _process(self, images: ImageSet) -> None:
        """Turn a frame set into published occupancy, or count why not; never raises."""
        try:
            if self._outputs.are_wanted(self._parameters):
                self._publish_occupancy(images)
            else:
                self._lose(images, NOBODY_LISTENS)
        except UnusableFrameSetError as error:
            self._lose(images, str(error))
        except SelfOccError as error:
            self._lose(images, 'refused by the pipeline', str(error))
        except Exception as error:  # the node must outlive one bad frame set
            self._lose(images, 'internal error', f'{type(error).__name__}: {error}')

    def _publish_occupancy(self, images: ImageSet) -> None:
        with self.statistics.stage('total'):
            processed = self._process_set(images, self._motion.buffer.covering_set(images))
            with self.statistics.stage('publish'):
                self._outputs.publish(processed, self._parameters, self.backend.card.threshold)
        self.latest = processed.result
        self.statistics.set_published(
            images.payloads, processed.unused, with_odometry=processed.with_odometry
        )

    def _lose(self, images: ImageSet, reason: str, sentence: str = '') -> None:
        """Count a frame set that ends here, and each of its images."""
        of_set = dict.fromkeys(images.payloads, f'frame set {reason}')
        self.statistics.set_lost(reason, of_set | unusable(images))
        if sentence:
            self._warn(f'a frame set was lost: {sentence}')

    def _log(self, level: Level, sentence: str) -> None:
        logger = self._node.get_logger()
        if level == Level.ERROR:  # rclpy allows each line of code one severity
            logger.error(sentence)
        elif level == Level.WARN:
            logger.warning(sentence)
        else:
            logger.info(sentence)

    def _inform(self, sentence: str) -> None:
        self._node.get_logger().info(sentence, throttle_duration_sec=_WARN_PERIOD_S)

    def _warn(self, sentence: str) -> None:
        self._node.get_logger().warning(sentence, throttle_duration_sec=_WARN_PERIOD_S)


def check_height_band(parameters: NodeParameters, grid: VoxelGrid) -> None:
    """Check that ~/occupancy/grid would show something.

    Raises:
        SelfOccError: No voxel lies in the band.
    """
    empty = np.zeros(grid.shape, np.uint8)
    height_band(empty, grid, parameters.height_band_low_m, parameters.height_band_high_m)


def _synchronizer_config(parameters: NodeParameters) -> SynchronizerConfig:
    return SynchronizerConfig(
        tolerance_ns=_nanoseconds(parameters.tolerance_ms),
        timeout_ns=_nanoseconds(parameters.timeout_ms),
        minimum_cameras=parameters.minimum_cameras,
        reference=parameters.reference,
        offsets_ns={name: _nanoseconds(ms) for name, ms in parameters.offsets_ms.items()},
        silent_after_ns=_nanoseconds(parameters.silent_after_ms),
        max_clock_skew_ns=_nanoseconds(parameters.max_clock_skew_ms),
    )


def _nanoseconds(milliseconds: float) -> int:
    return round(milliseconds * _NANOSECONDS_PER_MS)


def _transforms(node: LifecycleNode, parameters: NodeParameters) -> TransformListener | None:
    if parameters.rig_file and parameters.motion_source != 'tf':
        return None
    return TransformListener(node)
