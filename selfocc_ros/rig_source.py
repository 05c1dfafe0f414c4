"""Where the node learns how its cameras see and sit: a rig file, or camera_info and TF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from selfocc_core.bag_messages import camera_from_info
from selfocc_core.cameras import Camera, Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Transform
from selfocc_ros.transform_listener import TransformListener
from selfocc_ros.transport import sensor_qos


class RigSource(Protocol):
    """What the node asks for the calibration."""

    @property
    def rig(self) -> Rig | None:
        """The cameras known by now; a new object when something changed."""

    @property
    def problems(self) -> dict[str, str]:
        """Why the calibration of a camera is not known, or what is wrong with what it sends."""

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
        self.problems: dict[str, str] = {}

    def close(self) -> None:
        """Do nothing: a file needs no listening."""


class ListenedRig:
    """Cameras become known when both their camera_info and their transform have arrived.

    A calibration that changes while the node runs is taken over; one that becomes unusable is
    not, and is named.

    Args:
        node: The node that listens.
        names: The cameras in order.
        base_frame: The vehicle's frame.
        transforms: Knows where the cameras sit.
        rectified: The images are rectified: P counts, not K and D.
    """

    def __init__(
        self,
        node: Node,
        names: Sequence[str],
        base_frame: str,
        transforms: TransformListener,
        rectified: bool,
    ) -> None:
        self._node, self._names, self._base_frame = node, names, base_frame
        self._transforms, self._rectified = transforms, rectified
        self._known: dict[str, tuple[Any, Camera]] = {}  # with what it was made of
        self.problems: dict[str, str] = dict.fromkeys(names, 'no camera_info has arrived')
        self.rig: Rig | None = None
        self._subscriptions = [
            node.create_subscription(
                CameraInfo, f'~/input/{name}/camera_info', self._taker(name), sensor_qos()
            )
            for name in names
        ]

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _taker(self, name: str) -> Callable[[Any], None]:
        return lambda message: self.take(name, message)

    def take(self, name: str, message: Any) -> None:
        """Take a camera's camera_info."""
        try:
            extrinsics = self._transforms.lookup(self._base_frame, message.header.frame_id)
            identity = _identity(message, extrinsics)
            if name in self._known and self._known[name][0] == identity:
                self.problems.pop(name, None)
                return
            camera = camera_from_info(name, message, extrinsics, rectified=self._rectified)
        except (SelfOccError, ValueError) as error:
            self._complain(name, str(error))
            return
        self._adopt(name, identity, camera)

    def _adopt(self, name: str, identity: Any, camera: Camera) -> None:
        self.problems.pop(name, None)
        if name in self._known:
            self._node.get_logger().warning(
                f'the calibration of camera "{name}" changed: the new one is used from now on'
            )
        self._known[name] = identity, camera
        self.rig = Rig(tuple(self._known[n][1] for n in self._names if n in self._known))

    def _complain(self, name: str, problem: str) -> None:
        if self.problems.get(name) == problem:
            return
        self.problems[name] = problem
        consequence = 'its former calibration stays' if name in self._known else 'not used yet'
        self._node.get_logger().warning(f'camera "{name}", {consequence}: {problem}')


def _identity(message: Any, extrinsics: Transform) -> tuple[Any, ...]:
    """Return all of a calibration that matters, to notice when it changes."""
    roi = message.roi
    return (
        (message.header.frame_id, message.width, message.height, message.distortion_model),
        (message.binning_x, message.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
        *(
            np.asarray(values, np.float64).tobytes()
            for values in (message.k, message.d, message.p)
        ),
        np.round(extrinsics, 9).tobytes(),
    )
