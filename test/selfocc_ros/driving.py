"""A vehicle that drives while a test breaks it: images at 20 Hz into a running node."""

from __future__ import annotations

import time

from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import Image, PointCloud2
from small_drive import START_NS

from selfocc_core.bag_messages import decode_point_cloud, xyz
from selfocc_ros.conversions import header

PERIOD_S = 0.05
OFFSET_NS = 2_000_000
POINTS, GRID = '/surround/occupancy/points', '/surround/occupancy/grid'


class Driving:
    """Publishes frame sets until something has happened.

    Attributes:
        node: The running node.
        faults: What becomes of a camera's message before it goes out: a function that returns the
            message, bytes, several messages in a list, or None.
        stamp_ns: Stamp of the next frame set; it goes with the wall clock.
    """

    def __init__(self, node, publish=None):
        self.node, self.faults, self.stamp_ns = node, {}, START_NS
        self.publish = publish or (lambda camera, message: node.images[camera].publish(message))
        node.listen(PointCloud2, POINTS)
        node.listen(OccupancyGrid, GRID)
        for camera in node.rig.names:
            node.listen(Image, f'/surround/{camera}/depth/image')
        node.wait_until_ready()

    def until(self, condition, timeout_s=20.0):
        """Drive until a condition holds."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, (
                f'it did not happen; the node said:\n{self.node.log}'
            )
            self.tick()

    def for_seconds(self, seconds):
        end_s = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end_s, timeout_s=seconds + 20.0)

    def tick(self):
        begin_s = time.monotonic()
        for index, (camera, message) in enumerate(self.messages().items()):
            message.header.stamp = header(self.stamp_ns + index * OFFSET_NS, '').stamp
            for sent in self._broken(camera, message):
                self.publish(camera, sent)
        while (left_s := begin_s + PERIOD_S - time.monotonic()) > 0:
            self.node.executor.spin_once(timeout_sec=left_s)
        self.stamp_ns += round((time.monotonic() - begin_s) * 1e9)

    def messages(self):
        return self.node.image_messages()

    def _broken(self, camera, message):
        fault = self.faults.get(camera)
        result = message if fault is None else fault(message)
        if result is None:
            return []
        return result if isinstance(result, list) else [result]

    def forget_outputs(self):
        for topic, messages in self.node.received.items():
            if topic != '/diagnostics':
                messages.clear()

    @property
    def mask(self):
        return self.node.account(': occupancy').get('mask')

    def missing(self):
        return self.node.account(': occupancy').get('cameras_missing')

    def recovered(self):
        """Whether all cameras are used again and the node says so."""
        level, _ = self.node.status_of(': occupancy')
        return level == b'\x00' and self.mask == '111111'

    def dropped(self, camera, reason):
        return int(self.node.account(f': camera {camera}').get(f'dropped: {reason}', 0))

    def newest_grid(self):
        """Return the newest grid seen from above ``[X, Y]``."""
        message = self.node.received[GRID][-1]
        return _grid(message)

    def newest_points(self):
        return xyz(decode_point_cloud(self.node.received[POINTS][-1]))


def _grid(message):
    import numpy as np

    cells = np.array(message.data, np.int8).reshape(message.info.height, message.info.width)
    return cells.T
