"""Plays a recorded drive into the node, byte for byte."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rclpy.node import Node

from selfocc_core.bags import BagMessage, BagReader
from selfocc_core.drive_topics import image_topic, info_topic, odometry_topic
from selfocc_core.errors import SelfOccError
from selfocc_ros.recorder import header_stamp_ns
from selfocc_ros.transport import latched_qos, reliable_qos

_MATCH_TIMEOUT_S = 30.0


class BagPlayer:
    """Publishes the cameras, the odometry and the transforms of a bag to the node's inputs.

    Args:
        node: Owner of the publishers.
        bag: The open drive.
        cameras: The cameras to play; the first is the anchor.
        target: Full name of the node that listens.

    Raises:
        SelfOccError: The bag lacks the images of a camera.
    """

    def __init__(self, node: Node, bag: BagReader, cameras: Sequence[str], target: str) -> None:
        self._bag = bag
        self.image_cameras = {image_topic(bag, camera): camera for camera in cameras}
        self._anchor_topic = next(iter(self.image_cameras))
        self._publishers = {
            topic: node.create_publisher(
                _message_class(bag.topics[topic]),
                remapped,
                latched_qos() if topic == '/tf_static' else reliable_qos(),
            )
            for topic, remapped in _remapped(bag, cameras, target).items()
        }
        self.published_s: dict[str, dict[int, float]] = {camera: {} for camera in cameras}

    @property
    def message_count(self) -> int:
        """Number of messages that will be played."""
        return self._bag.count(list(self._publishers))

    @property
    def images_published(self) -> int:
        """Number of images played so far."""
        return sum(len(stamps) for stamps in self.published_s.values())

    def wait_for_listener(self, check_alive: Callable[[], None]) -> None:
        """Wait until the node has subscribed to all images and the odometry.

        Raises:
            SelfOccError: It does not within 30 s, or it has died.
        """
        deadline_s = time.monotonic() + _MATCH_TIMEOUT_S
        wanted = [*self.image_cameras, *({odometry_topic(self._bag)} & self._publishers.keys())]
        while not all(self._publishers[topic].get_subscription_count() for topic in wanted):
            check_alive()
            if time.monotonic() > deadline_s:
                raise SelfOccError(
                    'the node did not subscribe to the images within 30 s: does a firewall keep '
                    'the two processes apart?'
                )
            time.sleep(0.05)

    def play(self, rate: float, before_anchor: Callable[[int], None]) -> Iterator[BagMessage]:
        """Publish the messages at the drive's pace; yield each after it went out.

        Args:
            rate: Factor on the pace.
            before_anchor: Called with the stamp of each anchor image before it goes out; the time
                it takes is added to the schedule (back pressure).
        """
        clock = _Clock(rate)
        for message in self._bag.messages(list(self._publishers)):
            clock.wait_for(message.stamp_ns)
            if message.topic == self._anchor_topic:
                with clock.paused():
                    before_anchor(header_stamp_ns(message.raw))
            self._publishers[message.topic].publish(message.raw)
            if message.topic in self.image_cameras:
                stamps = self.published_s[self.image_cameras[message.topic]]
                stamps[header_stamp_ns(message.raw)] = time.monotonic()
            yield message


class _Clock:
    """Drive time against wall time."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._offset_s: float | None = None

    def wait_for(self, stamp_ns: int) -> None:
        due_s = stamp_ns * 1e-9 / self._rate
        if self._offset_s is None:
            self._offset_s = time.monotonic() - due_s
        time.sleep(max(0.0, due_s + self._offset_s - time.monotonic()))

    def paused(self) -> _Pause:
        return _Pause(self)

    def shift(self, seconds: float) -> None:
        self._offset_s = (self._offset_s or 0.0) + seconds


class _Pause:
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def __enter__(self) -> None:
        self._started_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._clock.shift(time.monotonic() - self._started_s)


def _remapped(bag: BagReader, cameras: Sequence[str], target: str) -> dict[str, str]:
    """Return, for each topic to play, the topic that the node listens to."""
    topics = {odometry_topic(bag): f'{target}/input/odometry'}
    for camera in cameras:
        images, node_topic = image_topic(bag, camera), f'{target}/input/{camera}'
        transport = '/compressed' if images.endswith('/compressed') else ''
        topics[images] = f'{node_topic}/image{transport}'
        topics[info_topic(bag, camera)] = f'{node_topic}/camera_info'
    if importlib.util.find_spec('tf2_msgs') is not None:
        topics |= {'/tf': '/tf', '/tf_static': '/tf_static'}
    return {topic: remapped for topic, remapped in topics.items() if topic in bag.topics}


def _message_class(type_name: str) -> Any:
    package, _, name = type_name.split('/')
    return getattr(importlib.import_module(f'{package}.msg'), name)
