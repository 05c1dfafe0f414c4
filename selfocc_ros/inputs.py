"""What the node listens to: images, calibration, motion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from selfocc_core.bag_messages import parent_from_child, stamp_ns_of
from selfocc_core.errors import SelfOccError
from selfocc_core.odometry_buffer import OdometryBuffer
from selfocc_ros.parameters import NodeParameters
from selfocc_ros.rig_source import FixedRig, ListenedRig, RigSource
from selfocc_ros.transform_listener import TransformListener
from selfocc_ros.transport import odometry_qos, overridable, sensor_qos

_WARN_PERIOD_S = 5.0


class ImageInputs:
    """Subscriptions to the images of all cameras.

    Messages stay serialised: they are parsed in place by the thread that needs their pixels, and
    one that is cut off is noticed, where the middleware would drop it without a word.

    Args:
        node: The node that listens.
        parameters: Its parameters.
        take: Called with the camera and the serialised message.
    """

    def __init__(
        self, node: Node, parameters: NodeParameters, take: Callable[[str, bytes], None]
    ) -> None:
        self._node = node
        self._subscriptions = [
            self._subscribe(camera, topic, take)
            for camera, topic in image_topics(parameters).items()
        ]

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
    """

    def __init__(
        self, node: Node, parameters: NodeParameters, transforms: TransformListener | None
    ) -> None:
        self._node, self._parameters = node, parameters
        self.buffer = OdometryBuffer()
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

    def _on_transforms(self, transforms: TransformListener, stamp_ns: int) -> None:
        """Note where the vehicle was when the transforms were stamped."""
        fixed, base = self._parameters.fixed_frame, self._parameters.base_frame
        try:
            self.buffer.add(stamp_ns, transforms.lookup(fixed, base))
        except SelfOccError as error:
            self._warn(f'the motion is not known: {error}')

    def _on_odometry(self, message: Odometry) -> None:
        try:
            world_from_ego = parent_from_child(message.pose.pose)
        except SelfOccError as error:
            self._warn(f'an odometry message is ignored: {error}')
            return
        self.buffer.add(stamp_ns_of(message), world_from_ego)

    def _warn(self, sentence: str) -> None:
        self._node.get_logger().warning(sentence, throttle_duration_sec=_WARN_PERIOD_S)


def calibration_source(
    node: Node, parameters: NodeParameters, transforms: TransformListener | None
) -> RigSource:
    """Return where the calibration comes from: the rig file, else camera_info and TF."""
    if transforms is None or parameters.rig_file:
        return FixedRig(parameters.rig_file, parameters.cameras)
    return ListenedRig(
        node, parameters.cameras, parameters.base_frame, transforms, parameters.rectified
    )
