"""The way of an image through the node, and the count of what becomes of each.

Three threads share it. The executor's thread calls ``take`` with what arrives; the intake's
thread decodes, prepares and synchronises; the inference's thread makes occupancy of the newest
frame set and publishes it. The executor's thread also asks for the account and the health.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from rclpy.lifecycle import LifecycleNode

from selfocc_core.backends import Backend
from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.frame_processor import (
    FrameProcessor,
    ImageSet,
    ProcessedSet,
    UnusableFrameSetError,
    unusable,
)
from selfocc_core.health import Event, Health, HealthMonitor, Level
from selfocc_core.image_intake import ImageIntake, PipelineSource, PreparedImage
from selfocc_core.odometry_buffer import OdometryBuffer
from selfocc_core.synchronizer import Synchronizer, SynchronizerConfig
from selfocc_ros.conversions import decode_image
from selfocc_ros.intake_worker import IntakeWorker
from selfocc_ros.latest_only_worker import LatestOnlyWorker
from selfocc_ros.parameters import NodeParameters
from selfocc_ros.statistics import NOBODY_LISTENS, NodeStatistics
from selfocc_ros.warnings import Warnings

_NO_TIME = 'no time to decode it'
_DEACTIVATED = 'deactivated'
_INTERNAL = 'internal error'
_OTHER_CLOCK = 'its clock disagrees with the others'


@dataclass(frozen=True)
class PathAccount:
    """What is counted of the images, all of one moment.

    Attributes:
        statistics: The counts.
        dropped: Of each camera, images that got into no frame set, by reason.
        waiting: Of each camera, images in the synchroniser.
        anchor: The camera that gives the stamps.
        clock_jumps: How often all clocks have jumped together.
    """

    statistics: NodeStatistics
    dropped: Mapping[str, Mapping[str, int]]
    waiting: Mapping[str, int]
    anchor: str
    clock_jumps: int


class ImagePath:
    """Takes images between activation and deactivation.

    Args:
        node: Its clock tells how old images are.
        parameters: The node's parameters.
        backend: The runtime with the model.
        rig: Returns the present calibration.
        motion: The vehicle's recent motion.
        statistics: Counts on beyond this path's life.
        wanted: Whether anybody listens.
        publish: Publishes a result.
        warnings: Where warnings go.
    """

    def __init__(
        self,
        node: LifecycleNode,
        parameters: NodeParameters,
        backend: Backend,
        rig: Callable[[], Rig | None],
        motion: OdometryBuffer,
        statistics: NodeStatistics,
        wanted: Callable[[], bool],
        publish: Callable[[ProcessedSet], None],
        warnings: Warnings,
    ) -> None:
        self._node, self._motion, self._statistics = node, motion, statistics
        self._wanted, self._publish, self._warnings = wanted, publish, warnings
        self._prepare = ImageIntake(
            parameters.image_transport == 'compressed',
            PipelineSource(backend, rig, parameters.cameras),
            decode_image,
            parameters.frozen_after,
        )
        self._process = FrameProcessor(parameters.minimum_cameras, statistics.stage)
        self._lock = Lock()  # of the synchroniser, and of the health beside it
        self._synchronizer: Synchronizer[PreparedImage] = Synchronizer(
            parameters.cameras, synchronizer_config(parameters)
        )
        self._health = HealthMonitor(
            parameters.cameras,
            parameters.minimum_cameras,
            parameters.silent_after_ms * 1e-3,
            statistics.clock_s(),
        )
        self._anchor = self._synchronizer.acting_anchor
        self._inference = LatestOnlyWorker(
            self._work, lambda images: self._lose(images, 'superseded by a newer one')
        )
        self._intake = IntakeWorker(
            self._take, self._poll, lambda camera: statistics.image_dropped(camera, _NO_TIME)
        )

    # In the executor's thread

    def take(self, camera: str, raw: bytes) -> None:
        """Take a serialised image; returns at once."""
        self._statistics.image_arrived(camera)
        self._intake.submit(camera, raw)

    def stop(self) -> None:
        """Take no more images; the frame set at work is finished, what waits is counted.

        Raises:
            SelfOccError: The network does not come to an end.
        """
        for camera, count in self._intake.stop().items():
            self._statistics.image_dropped(camera, _DEACTIVATED, count)
        self.forget()
        self._statistics.absorb(self._synchronizer.dropped)
        for images in self._inference.stop():
            self._lose(images, _DEACTIVATED)

    def forget(self) -> None:
        """Forget waiting images and the motion, as when a recording begins anew."""
        with self._lock:
            self._synchronizer.reset()
        self._motion.clear()

    def configure(self, config: SynchronizerConfig) -> None:
        """Synchronise by other limits from now on."""
        with self._lock:
            self._synchronizer.config = config

    def assess(self) -> tuple[Health, Sequence[Event]]:
        """Return the state of the cameras, and what changed since the last call."""
        with self._lock:
            health = self._health.assess(self._statistics.clock_s())
            former, self._anchor = self._anchor, self._synchronizer.acting_anchor
        if former == self._anchor:
            return health, health.events
        text = f'camera "{self._anchor}" gives the stamps now, not "{former}"'
        return health, [*health.events, Event(Level.WARN, text)]

    def snapshot(self) -> PathAccount:
        """Return what is counted, all of one moment."""
        with self._lock:  # an image that moves on meanwhile would be counted twice, or not at all
            return PathAccount(
                statistics=self._statistics.snapshot(),
                dropped={name: dict(of) for name, of in self._synchronizer.dropped.items()},
                waiting=dict(self._synchronizer.waiting),
                anchor=self._synchronizer.acting_anchor or 'none',
                clock_jumps=self._synchronizer.clock_jumps,
            )

    # In the intake's thread

    def _take(self, camera: str, raw: bytes) -> None:
        """Prepare an image and hand it to the synchroniser; never raises."""
        try:
            with self._statistics.stage('prepare'):
                image = self._prepare(camera, raw)
        except Exception as error:  # the node must outlive one bad image
            sentence = f'camera "{camera}": {type(error).__name__}: {error}'
            image = PreparedImage(None, fault=_INTERNAL, sentence=sentence)
        if image.sentence:
            self._warnings.warn((camera, image.fault), image.sentence)
        if image.stamp_ns is None:
            self._statistics.image_dropped(camera, image.fault or _INTERNAL)
            self._hear(camera, image.fault)
            return
        now_ns = self._node.get_clock().now().nanoseconds
        self._statistics.clock_compared(camera, (now_ns - image.stamp_ns) * 1e-9)
        self._synchronize(camera, image.stamp_ns, image)

    def _synchronize(self, camera: str, stamp_ns: int, image: PreparedImage) -> None:
        with self._lock:
            refused = self._synchronizer.refused(camera)
            jumps = self._synchronizer.clock_jumps
            self._statistics.image_handed_on(camera)
            sets = self._synchronizer.push(camera, stamp_ns, image, time.monotonic_ns())
            self._count(sets)
            wrong_clock = self._synchronizer.refused(camera) > refused
            jumped = self._synchronizer.clock_jumps > jumps
        self._hear(camera, _OTHER_CLOCK if wrong_clock else image.fault)
        if jumped:
            self._motion.clear()
            sentence = 'the clock of the images jumped: waiting images and motion are forgotten'
            self._warnings.warn('jump', sentence)
        self._submit(sets)

    def _poll(self) -> None:
        """Let frame sets go that have waited long enough for late cameras."""
        with self._lock:
            sets = self._synchronizer.poll(time.monotonic_ns())
            self._count(sets)
        self._submit(sets)

    def _hear(self, camera: str, fault: str | None) -> None:
        with self._lock:
            self._health.image_arrived(camera, fault, self._statistics.clock_s())

    def _count(self, sets: Sequence[ImageSet]) -> None:
        for images in sets:
            self._statistics.set_formed(images.payloads)
            self._health.set_formed(images.payloads, self._statistics.clock_s())

    def _submit(self, sets: Sequence[ImageSet]) -> None:
        for images in sets:
            self._inference.submit(images)

    # In the inference's thread

    def _work(self, images: ImageSet) -> None:
        """Turn a frame set into published occupancy, or count why not; never raises."""
        try:
            if self._wanted():
                self._make_occupancy(images)
            else:
                self._lose(images, NOBODY_LISTENS)
        except UnusableFrameSetError as error:
            self._lose(images, str(error))
        except SelfOccError as error:
            self._lose(images, 'refused by the pipeline', str(error))
        except Exception as error:  # the node must outlive one bad frame set
            self._lose(images, _INTERNAL, f'{type(error).__name__}: {error}')

    def _make_occupancy(self, images: ImageSet) -> None:
        with self._statistics.at_work(), self._statistics.stage('total'):
            processed = self._process(images, self._motion.covering_set(images))
            with self._statistics.stage('publish'):
                self._publish(processed)
        now_ns = self._node.get_clock().now().nanoseconds
        self._statistics.set_published(
            images.payloads,
            processed.unused,
            latency_s=(now_ns - images.stamp_ns) * 1e-9,
            with_odometry=processed.with_odometry,
        )

    def _lose(self, images: ImageSet, reason: str, sentence: str = '') -> None:
        """Count a frame set that ends here, and each of its images."""
        of_set = dict.fromkeys(images.payloads, f'frame set {reason}')
        self._statistics.set_lost(reason, of_set | unusable(images))
        if sentence:
            self._warnings.warn(reason, f'a frame set was lost: {sentence}')


def synchronizer_config(parameters: NodeParameters) -> SynchronizerConfig:
    """Return what the parameters say of frame sets."""
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
    return round(milliseconds * 1e6)
