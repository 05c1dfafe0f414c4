"""Six cameras in a process of their own, as a driver publishes them.

    python -m benchmarks.node_cameras --rig rig.yaml --sent sent.json

Their images of one moment go out one after another, each with the time of its publication as its
stamp. SIGINT ends it; then the stamps of all moments lie in a file.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from array import array
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from selfocc_core.cameras import Camera, Rig
from selfocc_ros.conversions import header, message_bytes

TRANSPORTS = ('raw', 'compressed')
_PICTURES = 4
_JPEG_QUALITY = 90


def image_topic(camera: str, transport: str) -> str:
    """Return the topic on which the node takes the images of a camera."""
    return f'/surround/input/{camera}/image' + ('/compressed' if transport == 'compressed' else '')


def picture(height: int, width: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return a BGR image ``[H, W, 3]`` with large shapes, and noise as sensors have it."""
    shapes = generator.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    smooth = cv2.resize(shapes, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = generator.integers(0, 6, smooth.shape, dtype=np.uint8)
    return np.asarray(cv2.add(smooth, noise), np.uint8)


def raw_message(pixels: NDArray[np.uint8], frame_id: str) -> Image:
    """Return a bgr8 message of an image, without a stamp."""
    height, width = pixels.shape[:2]
    return Image(
        header=header(0, frame_id),
        height=height,
        width=width,
        encoding='bgr8',
        step=3 * width,
        data=message_bytes(pixels),
    )


def compressed_message(pixels: NDArray[np.uint8], frame_id: str) -> CompressedImage:
    """Return a JPEG message of an image, without a stamp."""
    _, jpeg = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    data = array('B', jpeg.tobytes())
    return CompressedImage(header=header(0, frame_id), format='bgr8; jpeg compressed', data=data)


class CameraDriver:
    """Publishes a few images of one camera over and over.

    Args:
        node: Owner of the publisher.
        camera: What it pretends to be.
        transport: One of ``TRANSPORTS``.
        generator: Source of the images.
    """

    def __init__(
        self, node: Any, camera: Camera, transport: str, generator: np.random.Generator
    ) -> None:
        message_class, to_message = {
            'raw': (Image, raw_message),
            'compressed': (CompressedImage, compressed_message),
        }[transport]
        topic = image_topic(camera.name, transport)
        self._publisher = node.create_publisher(message_class, topic, qos_profile_sensor_data)
        self._messages = [
            to_message(picture(camera.height, camera.width, generator), camera.frame_id)
            for _ in range(_PICTURES)
        ]

    @property
    def has_listener(self) -> bool:
        """Whether anyone has subscribed."""
        return bool(self._publisher.get_subscription_count())

    def publish(self, index: int) -> int:
        """Publish the image of a moment; return its stamp in nanoseconds."""
        message = self._messages[index % _PICTURES]
        stamp_ns = time.time_ns()
        message.header.stamp = header(stamp_ns, '').stamp
        self._publisher.publish(message)
        return stamp_ns


def publish_until(stop: list[int], drivers: list[CameraDriver], rate_hz: float) -> list[list[int]]:
    """Publish until there is something in ``stop``; return the stamps of each moment.

    A moment that could not begin in time moves all later ones, as nothing is sent in bursts.
    """
    while not stop and not all(driver.has_listener for driver in drivers):
        time.sleep(0.05)
    sent: list[list[int]] = []
    due_s = time.monotonic()
    while not stop:
        sent.append([driver.publish(len(sent)) for driver in drivers])
        due_s = max(due_s + 1 / rate_hz, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))
    return sent


def main() -> None:
    """Publish until SIGINT."""
    options = _options()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stop.append(received))
    node, generator = rclpy.create_node('cameras'), np.random.default_rng(1)
    drivers = [
        CameraDriver(node, camera, options.transport, generator)
        for camera in Rig.from_yaml(options.rig)
    ]
    sent = publish_until(stop, drivers, options.rate)
    options.sent.write_text(json.dumps(sent), encoding='utf-8')
    node.destroy_node()
    rclpy.try_shutdown()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rig', type=Path, required=True, help='rig file: names and sizes')
    parser.add_argument('--sent', type=Path, required=True, help='file for all stamps')
    parser.add_argument('--transport', choices=TRANSPORTS, default='raw')
    parser.add_argument('--rate', type=float, default=10.0, help='moments a second')
    return parser.parse_args()


if __name__ == '__main__':
    main()
