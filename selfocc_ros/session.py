"""Everything the node holds between configure and cleanup."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rclpy.lifecycle import LifecycleNode

from selfocc_core.backends import open_backend
from selfocc_core.frame_processor import ProcessedSet
from selfocc_core.health import Event, Health, Level
from selfocc_core.pipeline import OccupancyPipeline, OccupancyResult
from selfocc_core.voxels import VoxelGrid, height_band
from selfocc_ros.diagnostics import Account
from selfocc_ros.image_path import ImagePath, PathAccount, synchronizer_config
from selfocc_ros.inputs import ImageInputs, MotionInput, calibration_source, image_topics
from selfocc_ros.outputs import Outputs
from selfocc_ros.parameters import NodeParameters
from selfocc_ros.services import Services, save_grid
from selfocc_ros.statistics import NodeStatistics
from selfocc_ros.transform_listener import TransformListener
from selfocc_ros.warnings import Warnings

_NOT_ACTIVE = Health(Level.OK, {}, 'not active', ())


class Session:
    """A loaded model with its inputs and outputs.

    Args:
        node: The node that owns the topics.
        parameters: Its parameters.

    Raises:
        SelfOccError: Model, rig or parameters cannot be used.
    """

    def __init__(self, node: LifecycleNode, parameters: NodeParameters) -> None:
        self._node, self._parameters = node, parameters
        self._warnings = Warnings(node.get_logger())
        self._opened, self._activated = ExitStack(), ExitStack()
        self._images: ImagePath | None = None
        self._started_s = 0.0
        self.latest: OccupancyResult | None = None
        self.health = _NOT_ACTIVE
        with ExitStack() as opened:  # what is open when something fails is closed again
            self._open(opened)
            self._opened = opened.pop_all()

    def _open(self, opened: ExitStack) -> None:
        node, parameters = self._node, self._parameters
        self.backend = open_backend(
            parameters.model_path,
            parameters.threads or None,
            parameters.backend,
            node.get_logger().info,
            parameters.engine_precision,
        )
        opened.callback(self.backend.close)
        check_height_band(parameters, self.backend.card.grid.to_grid())
        self.statistics = NodeStatistics(parameters.cameras)
        transforms = _transforms(node, parameters, opened)
        self._motion = MotionInput(node, parameters, transforms, self._warnings)
        opened.callback(self._motion.close)
        self.rigs = calibration_source(node, parameters, transforms, self._warnings)
        opened.callback(self.rigs.close)
        if self.rigs.rig is not None:
            OccupancyPipeline(self.backend, self.rigs.rig)  # a rig that does not fit fails here
        self._outputs = Outputs(node, parameters.cameras, self.backend.card.grid.to_grid())
        opened.callback(self._outputs.destroy)
        opened.callback(Services(node, self.reset, self._save).close)

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
        if self._images is not None:
            self._images.configure(synchronizer_config(parameters))

    @property
    def active(self) -> bool:
        """Whether images are taken."""
        return self._images is not None

    @property
    def silent_s(self) -> float:
        """How long nothing has been published since images are taken."""
        published_s = self.statistics.published_at_s
        return self.statistics.clock_s() - max(self._started_s, published_s or self._started_s)

    def start(self) -> None:
        """Begin to take images."""
        with ExitStack() as activated:
            self._started_s = self.statistics.clock_s()
            images = ImagePath(
                self._node,
                self._parameters,
                self.backend,
                lambda: self.rigs.rig,
                self._motion.buffer,
                self.statistics,
                lambda: self._outputs.are_wanted(self._parameters),
                self._publish,
                self._warnings,
            )
            activated.callback(images.stop)
            lost = self.statistics.image_lost
            inputs = ImageInputs(self._node, self._parameters, images.take, lost)
            activated.callback(inputs.close)
            self._images, self._activated = images, activated.pop_all()

    def stop(self) -> None:
        """Take no more images; the frame set at work is finished, what waits is counted.

        Raises:
            SelfOccError: The network does not come to an end.
        """
        self._images, self.latest, self.health = None, None, _NOT_ACTIVE
        self._activated.close()

    def reset(self) -> None:
        """Forget waiting images and the motion, as when a recording begins anew."""
        if self._images is not None:
            self._images.forget()

    def close(self) -> None:
        """Give up topics and model; later calls do nothing.

        Raises:
            SelfOccError: The network does not come to an end; then the model is not given back.
        """
        self.stop()
        self._opened.close()

    def assess(self) -> None:
        """Look after the cameras, and log what changed."""
        if self._images is not None:
            self.health, events = self._images.assess()
            self._log(events)

    def account(self) -> Account:
        """Return what the diagnostics tell of."""
        path = self._path_account()
        return Account(
            statistics=path.statistics,
            health=self.health,
            synchronizer_dropped=path.dropped,
            waiting=path.waiting,
            synchronizer={'anchor': path.anchor, 'clock_jumps': path.clock_jumps},
            topics={
                camera: self._node.resolve_topic_name(topic)
                for camera, topic in image_topics(self._parameters).items()
            },
            calibration=dict(self.rigs.problems),
            motion=self._motion.problem,
            inference=self._inference(),
            active=self.active,
        )

    def _path_account(self) -> PathAccount:
        if self._images is not None:
            return self._images.snapshot()
        return PathAccount(self.statistics.snapshot(), {}, {}, 'none', 0)

    def _inference(self) -> dict[str, str]:
        """Backend and model for diagnostics, how it runs, and why no better one was taken."""
        card = self.backend.card
        rejected = self.backend.rejected.items()
        return {
            'backend': self.backend.name,
            'model': f'{card.name} {card.version}',
            **self.backend.details,
            **{f'backend not taken: {name}': reason for name, reason in rejected},
        }

    def _publish(self, processed: ProcessedSet) -> None:
        self._outputs.publish(processed, self._parameters, self.backend.card.threshold)
        self.latest = processed.result

    def _save(self) -> Path:
        parameters = self._parameters
        return save_grid(self.latest, parameters.save_path, parameters.base_frame)

    def _log(self, events: Sequence[Event]) -> None:
        logger = self._node.get_logger()
        for event in events:
            if event.level == Level.ERROR:  # rclpy allows each line of code one severity
                logger.error(event.sentence)
            elif event.level == Level.WARN:
                logger.warning(event.sentence)
            else:
                logger.info(event.sentence)


def check_height_band(parameters: NodeParameters, grid: VoxelGrid) -> None:
    """Check that ~/occupancy/grid would show something.

    Raises:
        SelfOccError: No voxel lies in the band.
    """
    empty = np.zeros(grid.shape, np.uint8)
    height_band(empty, grid, parameters.height_band_low_m, parameters.height_band_high_m)


def _transforms(
    node: LifecycleNode, parameters: NodeParameters, opened: ExitStack
) -> TransformListener | None:
    if parameters.rig_file and parameters.motion_source != 'tf':
        return None
    transforms = TransformListener(node)
    opened.callback(transforms.close)
    return transforms
