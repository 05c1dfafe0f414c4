"""Where the node learns how its cameras see and sit: a rig file, or camera_info and TF."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Protocol

from rclpy.node import Node

from selfocc_core.bag_messages import camera_from_info, parent_from_child
from selfocc_core.cameras import Camera, Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.transform_tree import TransformTree
from selfocc_core.transforms import Transform
from selfocc_ros.transport import latched_qos, reliable_qos, sensor_qos

_WARN_PERIOD_S = 5.0


class RigSource(Protocol):
    """What the node asks for the calibration."""

    @property
    def rig(self) -> Rig | None:
        """The cameras known by now; a new object when something changed."""

    def close(self) -> None:
        """Stop listening."""


class FixedRig:
    """The cameras of a rig file, in the order of the node's parameter.

    Raises:
        SelfOccError: The file is no rig, or lacks one of the cameras.
    """

    def __init__(self, path: str, names: Sequence[str]) -> None:
        rig = Rig.from_yaml(path)
        self.rig: Rig | None = Rig(tuple(rig[name] for name in names))

    def close(self) -> None:
        """Do nothing: a file needs no listening."""


class ListenedRig:
    """Cameras become known when both their camera_info and their transform have arrived.

    Args:
        node: The node that listens.
        names: The cameras in order.
        base_frame: The vehicle's frame.

    Raises:
        SelfOccError: This installation has no tf2_msgs.
    """

    def __init__(self, node: Node, names: Sequence[str], base_frame: str) -> None:
        self._node, self._names, self._base_frame = node, names, base_frame
        self._known: dict[str, Camera] = {}
        self._problems: dict[str, str] = {}
        self._transforms = open_transforms(node)
        self.rig: Rig | None = None
        self._subscriptions = [
            node.create_subscription(
                _camera_info_type(),
                f'~/input/{name}/camera_info',
                lambda message, name=name: self._take(name, message),
                sensor_qos(),
            )
            for name in names
        ]

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._transforms.close()

    def _take(self, name: str, message: Any) -> None:
        if name in self._known:
            return
        try:
            frame = message.header.frame_id
            extrinsics = self._transforms.lookup(self._base_frame, frame)
            self._known[name] = camera_from_info(name, message, extrinsics)
        except SelfOccError as error:
            self._warn_once(name, str(error))
            return
        self.rig = Rig(tuple(self._known[n] for n in self._names if n in self._known))

    def _warn_once(self, name: str, problem: str) -> None:
        if self._problems.get(name) != problem:
            self._problems[name] = problem
            self._node.get_logger().warning(f'camera "{name}" is not used yet: {problem}')


class TransformSource(Protocol):
    """Looks up transforms that others publish."""

    def lookup(self, target: str, source: str) -> Transform:
        """Return ``target_from_source``; raises SelfOccError where it is not known."""

    def close(self) -> None:
        """Stop listening."""


def open_transforms(node: Node) -> TransformSource:
    """Return tf2's own buffer where this installation has it, else our small one.

    Raises:
        SelfOccError: This installation has not even tf2_msgs.
    """
    if importlib.util.find_spec('tf2_ros') is not None:
        return _Tf2Transforms(node)
    if importlib.util.find_spec('tf2_msgs') is not None:
        return _ListenedTransforms(node)
    raise SelfOccError(
        'this installation has no tf2_msgs to receive /tf_static (PyPI has no wheel of it): '
        'set the parameter rig_file; "selfocc demo" writes a rig file to start from'
    )


class _ListenedTransforms:
    def __init__(self, node: Node) -> None:
        from tf2_msgs.msg import TFMessage

        self._node, self._tree = node, TransformTree()
        self._subscriptions = [
            node.create_subscription(TFMessage, topic, self._take, qos)
            for topic, qos in (('/tf_static', latched_qos()), ('/tf', reliable_qos(100)))
        ]

    def lookup(self, target: str, source: str) -> Transform:
        return self._tree.lookup(target, source)

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take(self, message: Any) -> None:
        for transform in message.transforms:
            parent, child = transform.header.frame_id, transform.child_frame_id
            try:
                self._tree.set(parent, child, parent_from_child(transform.transform))
            except SelfOccError as error:
                self._node.get_logger().warning(
                    f'the transform from "{child}" to "{parent}" is ignored: {error}',
                    throttle_duration_sec=_WARN_PERIOD_S,
                )


class _Tf2Transforms:
    def __init__(self, node: Node) -> None:
        from tf2_ros import Buffer, TransformListener

        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)

    def lookup(self, target: str, source: str) -> Transform:
        from rclpy.time import Time
        from tf2_ros import TransformException

        try:
            return parent_from_child(
                self._buffer.lookup_transform(target, source, Time()).transform
            )
        except TransformException as error:
            raise SelfOccError(
                f'no transform connects "{source}" with "{target}" ({error}): publish it on '
                '/tf_static, or give a rig file'
            ) from error

    def close(self) -> None:
        self._listener.unregister()


def _camera_info_type() -> Any:
    from sensor_msgs.msg import CameraInfo

    return CameraInfo
