"""A baseline, not a product: the node that one would write straightforwardly.

``benchmarks.node`` compares ``selfocc_ros`` with it. It does what most nodes of its kind do: six
subscriptions, images converted as cv_bridge does, a synchroniser that waits for all cameras,
everything from preprocessing to publishing in its callback, and occupancy as a ``MarkerArray``
with one ``CUBE_LIST``, a point and a colour for each voxel. It takes the same images with the same
QoS, runs the same model on the same runtime, and is slow nowhere on purpose: the lenses have no
distortion to undo, projections are computed once, image bytes are neither copied twice nor checked
one by one.

    python -m benchmarks.baseline_node --model model.onnx --rig rig.yaml --threads 1
"""

from __future__ import annotations

import argparse
import signal
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from benchmarks.node_cameras import TRANSPORTS, image_topic
from selfocc_core.backends import Backend, ModelInputs, open_backend
from selfocc_core.bag_messages import stamp_ns_of
from selfocc_core.cameras import Rig
from selfocc_core.preprocess import Preprocessor
from selfocc_core.voxels import VoxelGrid

MARKERS = '/surround/occupancy/markers'
_QUEUE, _SLOP_NS = 10, 60_000_000
_RECENT = 256


class ApproximateTime:
    """Gives one message of each topic as soon as all their stamps lie close together.

    Args:
        topics: Names of the topics, in the order in which their messages are given.
        queue: Messages of a topic that may wait; the oldest goes first.
        slop_ns: How far the first and the last stamp may be apart.
        callback: Takes the messages.
    """

    def __init__(
        self,
        topics: Sequence[str],
        queue: int,
        slop_ns: int,
        callback: Callable[[list[Any]], None],
    ) -> None:
        self._waiting: dict[str, dict[int, Any]] = {topic: {} for topic in topics}
        self._queue, self._slop_ns, self._callback = queue, slop_ns, callback

    def add(self, topic: str, message: Any) -> None:
        """Take a message; the callback may be called in here."""
        stamp_ns = stamp_ns_of(message)
        own = self._waiting[topic]
        own[stamp_ns] = message
        if len(own) > self._queue:
            del own[min(own)]
        if not all(self._waiting.values()):
            return
        nearest_ns = {
            other: min(waiting, key=lambda candidate_ns: abs(candidate_ns - stamp_ns))
            for other, waiting in self._waiting.items()
        }
        if max(nearest_ns.values()) - min(nearest_ns.values()) <= self._slop_ns:
            self._callback([self._waiting[other].pop(ns) for other, ns in nearest_ns.items()])


def rgb_of(message: Any) -> NDArray[np.uint8]:
    """Return the RGB image ``[H, W, 3]`` of a bgr8 or JPEG message, as cv_bridge does."""
    data = np.frombuffer(message.data, np.uint8)
    if isinstance(message, CompressedImage):
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    else:
        bgr = data.reshape(message.height, message.width, 3)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def network_input(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return an image resized until it covers the input, and its lower middle part."""
    scale = max(width / image.shape[1], height / image.shape[0])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    left = (size[0] - width) // 2
    return np.asarray(resized[-height:, left : left + width], np.uint8)


def height_colors(layers: int) -> NDArray[np.float64]:
    """Return the colour ``[layers, 3]`` (RGB, 0 to 1) of each layer of voxels, low to high."""
    ramp = np.linspace(0, 255, layers).astype(np.uint8)
    bgr = cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO).reshape(-1, 3)
    return np.asarray(bgr[:, ::-1] / 255)


def markers(
    occupied: NDArray[np.bool_], grid: VoxelGrid, colors: NDArray[np.float64], header: Any
) -> MarkerArray:
    """Return the occupied voxels as cubes, coloured by height."""
    ijk = np.argwhere(occupied)
    points_m = np.asarray(grid.minimum_m) + (ijk + 0.5) * grid.voxel_size_m
    marker = Marker(header=header, ns='occupancy', type=Marker.CUBE_LIST, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    x, y, z = grid.voxel_size_m.tolist()
    marker.scale = Vector3(x=x, y=y, z=z)
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in points_m.tolist()]
    marker.colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in colors[ijk[:, 2]].tolist()]
    return MarkerArray(markers=[marker])


def depth_message(depth_m: NDArray[np.float32], header: Any) -> Image:
    """Return a 32FC1 image of depths ``[h, w]`` in metres."""
    height, width = depth_m.shape
    data = array('B', depth_m.tobytes())
    return Image(
        header=header, height=height, width=width, encoding='32FC1', step=4 * width, data=data
    )


class BaselineNode:
    """Images in, markers and depth images out.

    Args:
        node: The node that owns the topics.
        backend: The runtime with the model.
        rig: The cameras; the first gives the stamp.
        transport: ``raw`` or ``compressed``.
    """

    def __init__(self, node: Any, backend: Backend, rig: Rig, transport: str) -> None:
        card = backend.card
        self._node, self._backend, self._grid = node, backend, card.grid.to_grid()
        self._size = card.input.height, card.input.width
        projections = [Preprocessor(camera, *self._size).input_from_ego for camera in rig]
        self._image_from_ego = np.asarray(projections, np.float32)
        self._colors = height_colors(self._grid.shape[2])
        self._model_s: deque[float] = deque(maxlen=_RECENT)
        self._markers = node.create_publisher(MarkerArray, MARKERS, 1)
        self._depths = [node.create_publisher(Image, f'~/{c.name}/depth/image', 1) for c in rig]
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        node.create_timer(1.0, self._publish_diagnostics)
        synchronizer = ApproximateTime(rig.names, _QUEUE, _SLOP_NS, self._on_images)
        self._subscriptions = [
            node.create_subscription(
                CompressedImage if transport == 'compressed' else Image,
                image_topic(name, transport),
                partial(synchronizer.add, name),
                qos_profile_sensor_data,
            )
            for name in rig.names
        ]

    def _on_images(self, messages: list[Any]) -> None:
        images = np.stack([network_input(rgb_of(m), *self._size) for m in messages])
        present = np.ones(len(messages), np.bool_)
        started_s = time.perf_counter()
        outputs = self._backend.infer(ModelInputs(images, self._image_from_ego, present))
        self._model_s.append(time.perf_counter() - started_s)
        for publisher, message, depth_m in zip(self._depths, messages, outputs.depth, strict=True):
            publisher.publish(depth_message(depth_m, message.header))
        occupied = outputs.sdf <= self._backend.card.threshold
        header = Header(stamp=messages[0].header.stamp, frame_id='base_link')
        self._markers.publish(markers(occupied, self._grid, self._colors, header))

    def _publish_diagnostics(self) -> None:
        if not self._model_s:
            return
        p50_ms, p95_ms = np.percentile(self._model_s, (50, 95)) * 1e3
        values = {'model_ms_p50': p50_ms, 'model_ms_p95': p95_ms}
        status = DiagnosticStatus(
            name='surround: inference',
            message='running',
            values=[KeyValue(key=key, value=f'{value:.2f}') for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def main() -> None:
    """Run the node until SIGINT."""
    options = _options()
    # rclpy's own handlers raise in the middle of native calls: some exits crash, some hang.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stop.append(received))
    node = rclpy.create_node('surround')
    backend = open_backend(options.model, options.threads, 'onnxruntime-cpu')
    BaselineNode(node, backend, Rig.from_yaml(options.rig), options.transport)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop:
        executor.spin_once(timeout_sec=0.2)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model', type=Path, required=True, help='the .onnx file')
    parser.add_argument('--rig', type=Path, required=True, help='rig file of all cameras')
    parser.add_argument('--transport', choices=TRANSPORTS, default='raw')
    parser.add_argument('--threads', type=int, default=1, help='of the runtime')
    return parser.parse_args()


if __name__ == '__main__':
    main()
