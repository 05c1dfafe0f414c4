"""Records what the node publishes, byte for byte, and when it came."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Condition

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from selfocc_core.bags import BagWriter
from selfocc_core.errors import SelfOccError
from selfocc_ros.transport import reliable_qos

_TYPE_NAMES = {
    DiagnosticArray: 'diagnostic_msgs/msg/DiagnosticArray',
    OccupancyGrid: 'nav_msgs/msg/OccupancyGrid',
    CameraInfo: 'sensor_msgs/msg/CameraInfo',
    Image: 'sensor_msgs/msg/Image',
    PointCloud2: 'sensor_msgs/msg/PointCloud2',
}
_DIAGNOSTICS = '/diagnostics'
_MATCH_TIMEOUT_S = 30.0


class Recorder:
    """Writes the outputs of the node to a bag.

    Everything is filed under the stamp of its header, so that the recording lies beside the drive
    on one time line; diagnostics, which carry the time of day, under the newest such stamp.

    Args:
        node: Owner of the subscriptions; someone else spins it.
        writer: The open bag.
        target: Full name of the node that is recorded.
        cameras: Its cameras.
    """

    def __init__(self, node: Node, writer: BagWriter, target: str, cameras: Sequence[str]) -> None:
        self._writer, self._cloud = writer, f'{target}/occupancy/points'
        self._node, self._topics = node, [topic for topic, _ in _topics(target, cameras)]
        self._newest_ns = 0
        self._changed = Condition()
        self.answered_s: dict[int, float] = {}
        self.diagnostics: list[tuple[float, DiagnosticArray]] = []
        self._subscriptions = [
            node.create_subscription(
                message_type,
                topic,
                lambda raw, topic=topic, name=_TYPE_NAMES[message_type]: self._take(
                    topic, name, raw
                ),
                reliable_qos(50),
                raw=True,
            )
            for topic, message_type in _topics(target, cameras)
        ]

    def wait_for_publishers(self, check_alive: Callable[[], None]) -> None:
        """Wait until every topic has a publisher and a first message has come through.

        Raises:
            SelfOccError: It does not happen within 30 s, or the node has died.
        """
        deadline_s = time.monotonic() + _MATCH_TIMEOUT_S
        while not (self.diagnostics and all(map(self._node.count_publishers, self._topics))):
            check_alive()
            if time.monotonic() > deadline_s:
                raise SelfOccError('nothing came from the node within 30 s: see its log')
            time.sleep(0.05)

    def wait_until_answered(self, stamp_ns: int, timeout_s: float) -> bool:
        """Wait until a frame set of this stamp or a later one has been answered."""
        with self._changed:
            return self._changed.wait_for(
                lambda: max(self.answered_s, default=-1) >= stamp_ns, timeout_s
            )

    def _take(self, topic: str, type_name: str, raw: bytes) -> None:
        now_s = time.monotonic()
        if topic == _DIAGNOSTICS:
            self.diagnostics.append((now_s, deserialize_message(raw, DiagnosticArray)))
            stamp_ns = self._newest_ns
        else:
            stamp_ns = header_stamp_ns(raw)
            self._newest_ns = max(self._newest_ns, stamp_ns)
        self._writer.write_raw(topic, type_name, raw, stamp_ns)
        if topic == self._cloud:
            with self._changed:
                self.answered_s.setdefault(stamp_ns, now_s)
                self._changed.notify_all()


def header_stamp_ns(raw: bytes) -> int:
    """Return the stamp of a serialised message that begins with a header."""
    byte_order = '<' if raw[1] & 1 else '>'
    seconds, nanoseconds = struct.unpack_from(f'{byte_order}iI', raw, 4)
    return int(seconds) * 10**9 + int(nanoseconds)


def _topics(target: str, cameras: Sequence[str]) -> Iterator[tuple[str, type]]:
    yield f'{target}/occupancy/points', PointCloud2
    yield f'{target}/occupancy/grid', OccupancyGrid
    for camera in cameras:
        yield f'{target}/{camera}/depth/image', Image
        yield f'{target}/{camera}/depth/camera_info', CameraInfo
    yield _DIAGNOSTICS, DiagnosticArray
