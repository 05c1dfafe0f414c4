"""The coordinate frames that others publish on /tf and /tf_static."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node

from selfocc_core.bag_messages import parent_from_child, stamp_ns_of
from selfocc_core.errors import SelfOccError
from selfocc_core.transform_tree import TransformTree
from selfocc_core.transforms import Transform
from selfocc_ros.transport import latched_qos, reliable_qos

_WARN_PERIOD_S = 5.0


class TransformListener:
    """Keeps the newest transform of each frame; looking one up never waits.

    Args:
        node: The node that listens.

    Attributes:
        moved: Called with this listener and, for each message on /tf, the stamp of each frame
            that it places.

    Raises:
        SelfOccError: This installation has no tf2_msgs.
    """

    def __init__(self, node: Node) -> None:
        if importlib.util.find_spec('tf2_msgs') is None:
            raise SelfOccError(
                'this installation has no tf2_msgs to receive /tf and /tf_static (PyPI has no '
                'wheel of it): set the parameter rig_file and leave motion_source at odometry'
            )
        from tf2_msgs.msg import TFMessage

        self._node, self._tree = node, TransformTree()
        self.moved: Callable[[TransformListener, Mapping[str, int]], None] = lambda *_: None
        self._subscriptions = [
            node.create_subscription(TFMessage, '/tf_static', self._take, latched_qos()),
            node.create_subscription(TFMessage, '/tf', self._take_moving, reliable_qos(100)),
        ]

    def lookup(self, target: str, source: str) -> Transform:
        """Return ``target_from_source`` of the newest transforms.

        Raises:
            SelfOccError: No chain of transforms connects the two frames.
        """
        return self._tree.lookup(target, source)

    def path(self, target: str, source: str) -> list[str]:
        """Return the frames whose transforms to their parents lie between two frames.

        Raises:
            SelfOccError: No chain of transforms connects the two frames.
        """
        return self._tree.path(target, source)

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take_moving(self, message: Any) -> None:
        self._take(message)
        self.moved(
            self, {t.child_frame_id.lstrip('/'): stamp_ns_of(t) for t in message.transforms}
        )

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
