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
from selfocc_ros.warnings import Warnings

# A camera that moved by less did not move: a millimetre, a fiftieth of a degree.
_STILL_M, _STILL_RAD = 1e-3, 3.5e-4


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
        warnings: Where warnings go.
    """

    def __init__(
        self,
        node: Node,
        names: Sequence[str],
        base_frame: str,
        transforms: TransformListener,
        *,
        rectified: bool,
        warnings: Warnings,
    ) -> None:
        self._node, self._names, self._base_frame = node, names, base_frame
        self._transforms, self._rectified, self._warnings = transforms, rectified, warnings
        self._known: dict[str, tuple[Any, Camera]] = {}  # with the camera_info it was made of
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
            identity = _identity(message)
            if self._is_known(name, identity, extrinsics):
                self.problems.pop(name, None)
                return
            camera = camera_from_info(name, message, extrinsics, rectified=self._rectified)
        except (SelfOccError, ValueError) as error:
            self._complain(name, str(error))
            return
        self._adopt(name, identity, camera)

    def _is_known(self, name: str, identity: Any, extrinsics: Transform) -> bool:
        """Whether a calibration is the known one, but for what a sprung cab or noise makes."""
        if name not in self._known or self._known[name][0] != identity:
            return False
        moved = np.abs(self._known[name][1].ego_from_camera - extrinsics)
        return bool(moved[:3, 3].max() < _STILL_M and moved[:3, :3].max() < _STILL_RAD)

    def _adopt(self, name: str, identity: Any, camera: Camera) -> None:
        self.problems.pop(name, None)
        if name in self._known:
            self._warnings.warn(
                ('calibration', name),
                f'the calibration of camera "{name}" changed: the new one is used from now on',
            )
        self._known[name] = identity, camera
        self.rig = Rig(tuple(self._known[n][1] for n in self._names if n in self._known))

    def _complain(self, name: str, problem: str) -> None:
        if self.problems.get(name) == problem:
            return
        self.problems[name] = problem
        consequence = 'its former calibration stays' if name in self._known else 'not used yet'
        sentence = f'camera "{name}", {consequence}: {problem}'
        self._warnings.warn(('no calibration', name), sentence)


def _identity(message: Any) -> tuple[Any, ...]:
    """Return all of a camera_info that matters, to notice when it changes."""
    roi = message.roi
    return (
        (message.header.frame_id, message.width, message.height, message.distortion_model),
        (message.binning_x, message.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
        *(
            np.asarray(values, np.float64).tobytes()
            for values in (message.k, message.d, message.p)
        ),
    )
