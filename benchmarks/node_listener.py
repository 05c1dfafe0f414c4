"""Listens to what a node publishes without looking into it."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from selfocc_ros.transport import reliable_qos

_PATIENCE_S = 60.0
CDR_HEADER_BYTES = 4


def stamp_at(raw: bytes, offset: int) -> int:
    """Return the stamp in nanoseconds that lies at an offset of a serialised message."""
    byte_order = '<' if raw[1] & 1 else '>'
    seconds, nanoseconds = struct.unpack_from(f'{byte_order}iI', raw, offset)
    return int(seconds) * 10**9 + int(nanoseconds)


class Listener:
    """A node that listens to another.

    Messages stay serialised: to build a Python object of each cube of a ``MarkerArray`` would
    take longer than all that is to be measured.

    Attributes:
        node: The listening node.
    """

    def __init__(self, node: Any, executor: SingleThreadedExecutor) -> None:
        self.node, self._executor = node, executor
        self._subscriptions: list[Any] = []

    def listen(
        self, message_type: Any, topic: str, take: Callable[[bytes], None] = lambda _: None
    ) -> None:
        """Listen to a topic, if only so that the node has somebody to publish to."""
        self._subscriptions.append(
            self.node.create_subscription(message_type, topic, take, reliable_qos(), raw=True)
        )

    def spin_until(self, condition: Callable[[], bool], check: Callable[[], None]) -> bool:
        """Take messages until a condition holds; return whether it did within a minute.

        Args:
            condition: Asked after each message.
            check: Called meanwhile; raises if waiting makes no sense any more.
        """
        deadline_s = time.monotonic() + _PATIENCE_S
        while not condition():
            check()
            if time.monotonic() > deadline_s:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def spin_for(self, seconds: float) -> None:
        """Take messages for some time."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left_s)


@contextmanager
def listener(name: str) -> Iterator[Listener]:
    """Yield a listener with an rclpy of its own."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node, executor = rclpy.create_node(name), SingleThreadedExecutor()
    executor.add_node(node)
    try:
        yield Listener(node, executor)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
