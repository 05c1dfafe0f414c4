"""Everything the node holds between configure and cleanup."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CompressedImage, Image

from selfocc_core.backends import open_backend
from selfocc_core.bag_messages import parent_from_child, stamp_ns_of
from selfocc_core.errors import SelfOccError
from selfocc_core.pipeline import OccupancyPipeline
from selfocc_core.synchronizer import Synchronizer, SynchronizerConfig
from selfocc_core.voxels import VoxelGrid, height_band
from selfocc_ros.conversions import decode_image
from selfocc_ros.frame_processor import FrameProcessor, MessageSet, UnusableFrameSetError
from selfocc_ros.latest_only_worker import LatestOnlyWorker
from selfocc_ros.odometry_buffer import OdometryBuffer
from selfocc_ros.outputs import Outputs
from selfocc_ros.parameters import NodeParameters
from selfocc_ros.rig_source import FixedRig, ListenedRig, RigSource
from selfocc_ros.statistics import NodeStatistics
from selfocc_ros.transport import odometry_qos, sensor_qos

_NANOSECONDS_PER_MS = 1_000_000
_WARN_PERIOD_S = 5.0


class Session:
    """A loaded model with its inputs and outputs.

    Images are synchronised in the executor's thread; decoding, inference and publishing happen in
    one other thread, which takes only the newest frame set.

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
        self.synchronizer: Synchronizer[Any] = Synchronizer(
            parameters.cameras, _synchronizer_config(parameters)
        )
        self._odometry = OdometryBuffer()
        self._rigs = _open_rig_source(node, parameters)
        if self._rigs.rig is not None:
            OccupancyPipeline(self.backend, self._rigs.rig)  # a rig that does not fit fails here
        self._processor = FrameProcessor(
            backend=self.backend,
            rig=lambda: self._rigs.rig,
            odometry=self._odometry,
            decode=decode_image,
            minimum_cameras=parameters.minimum_cameras,
            statistics=self.statistics,
            warn=self._warn,
        )
        self._outputs = Outputs(node, parameters.cameras)
        self._subscriptions: list[Any] = []
        self._worker: LatestOnlyWorker[MessageSet] | None = None

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
        self._parameters = parameters

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
    def active(self) -> bool:
        """Whether images are taken."""
        return self._worker is not None

    def start(self) -> None:
        """Begin to take images."""
        self._worker = LatestOnlyWorker(
            self._process, lambda _: self.statistics.set_lost('superseded by a newer one')
        )
        self._subscriptions = [self._subscribe(camera) for camera in self._parameters.cameras]
        self._subscriptions.append(
            self._node.create_subscription(
                Odometry, '~/input/odometry', self._on_odometry, odometry_qos()
            )
        )

    def stop(self) -> None:
        """Take no more images; the frame set at work is finished, a waiting one is counted."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        self.synchronizer.reset()
        worker, self._worker = self._worker, None
        for _ in worker.stop() if worker else ():
            self.statistics.set_lost('deactivated')

    def close(self) -> None:
        """Give up topics and model."""
        self.stop()
        self._rigs.close()
        self._outputs.destroy()
        self.backend.close()

    def poll(self) -> None:
        """Let frame sets go that have waited long enough for late cameras."""
        self._submit(self.synchronizer.poll(time.monotonic_ns()))

    def _subscribe(self, camera: str) -> Any:
        compressed = self._parameters.image_transport == 'compressed'
        return self._node.create_subscription(
            CompressedImage if compressed else Image,
            f'~/input/{camera}/image' + ('/compressed' if compressed else ''),
            lambda message: self._on_image(camera, message),
            sensor_qos(),
        )

    def _on_image(self, camera: str, message: Any) -> None:
        self.statistics.image_arrived(camera)
        now_ns = time.monotonic_ns()
        self._submit(self.synchronizer.push(camera, stamp_ns_of(message), message, now_ns))

    def _on_odometry(self, message: Odometry) -> None:
        try:
            world_from_ego = parent_from_child(message.pose.pose)
        except SelfOccError as error:
            self._node.get_logger().warning(
                f'an odometry message is ignored: {error}', throttle_duration_sec=_WARN_PERIOD_S
            )
            return
        self._odometry.add(stamp_ns_of(message), world_from_ego)

    def _submit(self, frame_sets: Sequence[MessageSet]) -> None:
        for frame_set in frame_sets:
            self.statistics.set_formed(len(frame_set.payloads))
            if self._worker is None:
                self.statistics.set_lost('deactivated')
            else:
                self._worker.submit(frame_set)

    def _process(self, messages: MessageSet) -> None:
        """Turn a frame set into published occupancy, or count why not; never raises."""
        try:
            with self.statistics.stage('total'):
                with_odometry = self._publish_occupancy(messages)
            self.statistics.set_published(with_odometry=with_odometry)
        except UnusableFrameSetError as error:
            self._lose(str(error), str(error))
        except SelfOccError as error:
            self._lose('refused by the pipeline', str(error))
        except Exception as error:  # the node must outlive one bad frame set
            self._lose('internal error', f'{type(error).__name__}: {error}')

    def _publish_occupancy(self, messages: MessageSet) -> bool:
        frame_set, result, rig, with_odometry = self._processor(messages)
        with self.statistics.stage('publish'):
            threshold = self.backend.card.threshold
            self._outputs.publish(result, frame_set, rig, self._parameters, threshold)
        return with_odometry

    def _lose(self, reason: str, sentence: str) -> None:
        self.statistics.set_lost(reason)
        self._warn(f'a frame set was lost: {sentence}')

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
        tolerance_ns=round(parameters.tolerance_ms * _NANOSECONDS_PER_MS),
        timeout_ns=round(parameters.timeout_ms * _NANOSECONDS_PER_MS),
        minimum_cameras=parameters.minimum_cameras,
    )


def _open_rig_source(node: LifecycleNode, parameters: NodeParameters) -> RigSource:
    if parameters.rig_file:
        return FixedRig(parameters.rig_file, parameters.cameras)
    return ListenedRig(node, parameters.cameras, parameters.base_frame)
