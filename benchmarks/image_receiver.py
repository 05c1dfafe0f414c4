"""A process that does nothing but receive six cameras, in one of the ways that rclpy offers.

    python -m benchmarks.image_receiver --rig rig.yaml --way single-serialised --out heard.json

SIGINT ends it; then the latency of each image lies in a file.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from benchmarks.node_cameras import image_topic
from selfocc_core.bag_messages import stamp_ns_of, typestore
from selfocc_core.cameras import Rig

WAYS = (
    'single-message',
    'single-serialised',
    'multi-message',
    'multi-groups-message',
    'multi-groups-serialised',
)


class Ear:
    """Receives the images of one camera and notes how old they are on arrival.

    Args:
        node: Owner of the subscription.
        camera: Its name.
        way: One of ``WAYS``.
    """

    def __init__(self, node: Any, camera: str, way: str) -> None:
        self.latencies_ms: list[float] = []
        self.checksum = 0
        serialised = way.endswith('serialised')
        groups = {'callback_group': MutuallyExclusiveCallbackGroup()} if 'groups' in way else {}
        node.create_subscription(
            Image,
            image_topic(camera, 'raw'),
            self._on_serialised if serialised else self._on_message,
            qos_profile_sensor_data,
            raw=serialised,
            **groups,
        )

    def _on_serialised(self, raw: bytes) -> None:
        self._on_message(typestore().deserialize_cdr(raw, 'sensor_msgs/msg/Image'))

    def _on_message(self, message: Any) -> None:
        self.latencies_ms.append((time.time_ns() - stamp_ns_of(message)) * 1e-6)
        self.checksum += int(np.frombuffer(message.data, np.uint8)[-1])  # the pixels are at hand


def main() -> None:
    """Receive until SIGINT."""
    options = _options()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    stop: list[int] = []
    signal.signal(signal.SIGINT, lambda received, _: stop.append(received))
    node = rclpy.create_node('receiver')
    ears = [Ear(node, name, options.way) for name in Rig.from_yaml(options.rig).names]
    multi = partial(MultiThreadedExecutor, num_threads=len(ears))
    executor = (multi if options.way.startswith('multi') else SingleThreadedExecutor)()
    executor.add_node(node)
    while not stop:
        executor.spin_once(timeout_sec=0.2)
    executor.shutdown()
    options.out.write_text(json.dumps([ear.latencies_ms for ear in ears]), encoding='utf-8')
    node.destroy_node()
    rclpy.try_shutdown()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rig', type=Path, required=True, help='rig file: names of the cameras')
    parser.add_argument('--way', choices=WAYS, required=True, help='executor and form')
    parser.add_argument('--out', type=Path, required=True, help='file for the latencies')
    return parser.parse_args()


if __name__ == '__main__':
    main()
