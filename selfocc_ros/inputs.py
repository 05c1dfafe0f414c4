"""What the node listens to: images, calibration, motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from selfocc_core.bag_messages import parent_from_child, stamp_ns_of
from selfocc_core.errors import SelfOccError
from selfocc_core.odometry_buffer import OdometryBuffer
from selfocc_core.transforms import Transform
from selfocc_ros.parameters import NodeParameters
from selfocc_ros.rig_source import FixedRig, ListenedRig, RigSource
from selfocc_ros.transform_listener import TransformListener
from selfocc_ros.transport import odometry_qos, overridable, sensor_qos
from selfocc_ros.warnings import Warnings


class ImageInputs:
    """Subscriptions to the images of all cameras.

    Messages stay serialised: they are parsed in place by the thread that needs their pixels, and
    one that is cut off is noticed, where the middleware would drop it without a word.

    Args:
        node: The node that listens.
        parameters: Its parameters.
        take: Called with the camera and the serialised message.
        lost: Called with the camera and how many of its messages the middleware lost.
    """

    def __init__(
        self,
        node: Node,
        parameters: NodeParameters,
        take: Callable[[str, bytes], None],
        lost: Callable[[str, int], None],
    ) -> None:
        self._node, self._lost = node, lost
        self._subscriptions: list[Any] = []
        with ExitStack() as opened:
            opened.callback(self.close)
            for camera, topic in image_topics(parameters).items():
                self._subscriptions.append(self._subscribe(camera, topic, take))
            opened.pop_all()

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _subscribe(self, camera: str, topic: str, take: Callable[[str, bytes], None]) -> Any:
        return self._node.create_subscription(
            CompressedImage if topic.endswith('/compressed') else Image,
            topic,
            lambda raw: take(camera, raw),
            sensor_qos(),
            raw=True,
            qos_overriding_options=overridable(),
            event_callbacks=SubscriptionEventCallbacks(
                message_lost=lambda event: self._lost(camera, event.total_count_change)
            ),
        )


def image_topics(parameters: NodeParameters) -> dict[str, str]:
    """Return the image topic of each camera."""
    suffix = '/compressed' if parameters.image_transport == 'compressed' else ''
    return {camera: f'~/input/{camera}/image{suffix}' for camera in parameters.cameras}


class MotionInput:
    """The vehicle's motion, from odometry or from TF.

    Args:
        node: The node that listens.
        parameters: Its parameters.
        transforms: The frames on /tf, where the parameters ask for them.
        warnings: Where warnings go.

    Attributes:
        buffer: The recent motion.
        problem: What is wrong with what comes; empty if nothing is.
    """

    def __init__(
        self,
        node: Node,
        parameters: NodeParameters,
        transforms: TransformListener | None,
        warnings: Warnings,
    ) -> None:
        self._node, self._parameters, self._warnings = node, parameters, warnings
        self.buffer, self.problem = OdometryBuffer(), ''
        self._subscriptions = []
        if parameters.motion_source == 'odometry':
            self._subscriptions.append(self._subscribe())
        elif transforms is not None:
            transforms.moved = self._on_transforms

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _subscribe(self) -> Any:
        return self._node.create_subscription(
            Odometry,
            '~/input/odometry',
            self._on_odometry,
            odometry_qos(),
            qos_overriding_options=overridable(),
        )

    def _on_transforms(self, transforms: TransformListener, stamps_ns: Mapping[str, int]) -> None:
        """Note where the vehicle was, if one of the transforms that came says so."""
        fixed, base = self._parameters.fixed_frame, self._parameters.base_frame
        try:
            on_the_way = [stamps_ns[f] for f in transforms.path(fixed, base) if f in stamps_ns]
            if on_the_way:
                self._add(max(on_the_way), transforms.lookup(fixed, base))
        except SelfOccError as error:
            self._complain(f'the motion is not known: {error}')

    def _on_odometry(self, message: Odometry) -> None:
        child, base = message.child_frame_id.lstrip('/'), self._parameters.base_frame
        if child and child != base:
            self._warnings.warn(
                'child frame',
                f'the odometry is that of "{child}", not of "{base}": the motion of the cameras '
                'is compensated as if they were the same',
            )
        try:
            self._add(stamp_ns_of(message), parent_from_child(message.pose.pose))
        except SelfOccError as error:
            self._complain(f'an odometry message is ignored: {error}')

    def _add(self, stamp_ns: int, world_from_ego: Transform) -> None:
        self.buffer.add(stamp_ns, world_from_ego)
        self.problem = ''

    def _complain(self, problem: str) -> None:
        self.problem = problem
        self._warnings.warn('motion', problem)


def calibration_source(
    node: Node,
    parameters: NodeParameters,
    transforms: TransformListener | None,
    warnings: Warnings,
) -> RigSource:
    """Return where the calibration comes from: the rig file, else camera_info and TF."""
    if transforms is None or parameters.rig_file:
        return FixedRig(parameters.rig_file, parameters.cameras)
    return ListenedRig(
        node,
        parameters.cameras,
        parameters.base_frame,
        transforms,
        rectified=parameters.rectified,
        warnings=warnings,
    )
