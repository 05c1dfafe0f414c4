"""A long drive with faults, as fast as the node takes it: memory, threads, and every image's fate.

    python -m benchmarks.soak --minutes 30
    python -m benchmarks.soak --minutes 30 --overrun --json soak.json

The cameras send small images with the stamps of a drive at 10 Hz; two of each are under way at a
time, so that none is lost between the processes. With ``--overrun`` nobody waits for the node:
images are lost on the way and frame sets superseded. Now and then, the same for the same seed, a
camera falls silent, sends something twice, late, damaged or black, or all clocks are set back.

Of the node's process, memory and threads are sampled over the drive; the slope of memory is that
after the first fifth. Of each camera, every diagnostics message must say that what was received is
used, dropped with a reason, or waiting.

The exit status is 1 if that does not add up at any time, if more images arrived than were sent, or
if the node has more threads at the end than after the first fifth.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from benchmarks.node_cameras import image_topic, picture, raw_message
from benchmarks.node_listener import CDR_HEADER_BYTES, Listener, listener, stamp_at
from benchmarks.node_model import write_node_model
from benchmarks.node_processes import ModuleProcess, take_own_domain
from benchmarks.soak_account import Auditor
from benchmarks.soak_drive import SETS_PER_MINUTE, Fault, Frame, drive
from benchmarks.soak_memory import Sample
from benchmarks.soak_report import Report, as_json, text_of
from selfocc_core.cameras import Camera, Rig, nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.machine import this_machine
from selfocc_ros.conversions import header
from selfocc_ros.node_process import ros_arguments, write_parameters

_WIDTH, _HEIGHT = 176, 99
_PICTURES = 8
_SAMPLE_SETS = 50
_UNDER_WAY = 2  # images of a camera; the node's subscriptions keep so many
_OVERRUN_PAUSE_S = 0.002
# Diagnostics that much younger than an image tell that the node has looked at it.
_SEEN_AFTER_NS = 100_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Drive, print what came of it, and return the exit status."""
    options = _options(arguments)
    settings = {
        'cameras': f'6 x {_WIDTH}x{_HEIGHT} raw',
        'minutes': options.minutes,
        'seed': options.seed,
        'pace': 'overrun' if options.overrun else f'{_UNDER_WAY} images of a camera under way',
    }
    print(json.dumps(this_machine()), json.dumps(settings), flush=True)
    take_own_domain()
    with tempfile.TemporaryDirectory() as folder:
        report = _soak(options, Path(folder))
    print(text_of(report))
    if options.json:
        content = {'machine': this_machine(), 'settings': settings, **as_json(report)}
        options.json.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    return 1 if report.problems() else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--minutes', type=float, default=30.0, help='length of the drive')
    parser.add_argument('--seed', type=int, default=1, help='decides what goes wrong when')
    parser.add_argument('--overrun', action='store_true', help='do not wait for the node')
    parser.add_argument('--json', type=Path, help='file for all samples and counts')
    return parser.parse_args(arguments)


def _soak(options: argparse.Namespace, folder: Path) -> Report:
    rig = nuscenes_like_rig(_WIDTH, _HEIGHT)
    rig.to_yaml(folder / 'rig.yaml')
    write_node_model(folder / 'model.onnx')
    parameters = {
        'model': str(folder / 'model.onnx'),
        'rig_file': str(folder / 'rig.yaml'),
        'backend': 'onnxruntime-cpu',
        'threads': 1,
        'autostart': True,
    }
    write_parameters(folder / 'parameters.yaml', parameters)
    arguments = ros_arguments(folder / 'parameters.yaml')
    with (
        listener('soak') as ears,
        ModuleProcess('selfocc_ros.surround_node', arguments, folder / 'node.log') as node,
    ):
        soak = Soak(ears, node, rig)
        soak.wait_for_node()
        sets = round(options.minutes * SETS_PER_MINUTE)
        return soak.run(sets, options.seed, overrun=options.overrun)


class SoakCamera:
    """Sends the frames of one camera, whatever is wrong with them.

    Args:
        node: Owner of the publisher.
        camera: What it pretends to be.
        generator: Source of the images.
    """

    def __init__(self, node: Any, camera: Camera, generator: np.random.Generator) -> None:
        self._publisher = node.create_publisher(
            Image, image_topic(camera.name, 'raw'), qos_profile_sensor_data
        )
        size = camera.height, camera.width
        self._good = [
            raw_message(picture(*size, generator), camera.frame_id) for _ in range(_PICTURES)
        ]
        self._black = raw_message(np.zeros((*size, 3), np.uint8), camera.frame_id)
        self._damaged = raw_message(picture(*size, generator), camera.frame_id)
        self._damaged.data = self._damaged.data[: len(self._damaged.data) // 2]
        self.sent = 0

    @property
    def has_listener(self) -> bool:
        """Whether the node has subscribed."""
        return bool(self._publisher.get_subscription_count())

    def send(self, frame: Frame) -> None:
        """Publish a frame."""
        # A duplicate is the same image once more; otherwise no image is like the one before.
        index = self.sent - 1 if frame.fault is Fault.DUPLICATE else self.sent
        special = {Fault.BLACK: self._black, Fault.DAMAGED: self._damaged}
        message = special.get(frame.fault, self._good[index % _PICTURES])
        message.header.stamp = header(frame.stamp_ns, '').stamp
        self._publisher.publish(message)
        self.sent += 1


class Soak:
    """Plays a drive into a running node and watches it.

    Args:
        ears: Listens to the node.
        node: Its process.
        rig: Its cameras.
    """

    def __init__(self, ears: Listener, node: ModuleProcess, rig: Rig) -> None:
        self._ears, self._node = ears, node
        generator = np.random.default_rng(0)
        self._cameras = {c.name: SoakCamera(ears.node, c, generator) for c in rig}
        self._auditor = Auditor(rig.names)
        self._under_way: deque[tuple[int, Sequence[Frame]]] = deque()  # with time of sending
        self._sent: Counter[Fault] = Counter()
        ears.listen(DiagnosticArray, '/diagnostics', self._on_diagnostics)
        ears.listen(PointCloud2, '/surround/occupancy/points', self._on_occupancy)
        ears.listen(OccupancyGrid, '/surround/occupancy/grid')
        for name in rig.names:
            ears.listen(Image, f'/surround/{name}/depth/image')
            ears.listen(CameraInfo, f'/surround/{name}/depth/camera_info')

    def wait_for_node(self) -> None:
        """Wait until the node listens and tells of itself."""
        cameras = self._cameras.values()
        self._wait_for(lambda: all(camera.has_listener for camera in cameras))
        # We know of its subscriptions; it may not know of our publishers yet.
        audits = self._auditor.audits
        self._wait_for(lambda: self._auditor.audits >= audits + 2)

    def run(self, sets: int, seed: int, *, overrun: bool) -> Report:
        """Play the drive and return what came of it."""
        started_s, samples = time.monotonic(), []
        for index, frames in enumerate(drive(tuple(self._cameras), sets, seed)):
            if overrun:
                self._ears.spin_for(_OVERRUN_PAUSE_S)
            else:
                self._wait_for(partial(self._has_room_for, frames))
            self._send(frames)
            if index % _SAMPLE_SETS == 0:
                samples.append(Sample(index, self._node.usage()))
        self._come_to_rest()
        samples.append(Sample(sets, self._node.usage()))
        return Report(
            sets=sets,
            wall_s=time.monotonic() - started_s,
            sent={fault.value: count for fault, count in self._sent.items()},
            sent_by={name: camera.sent for name, camera in self._cameras.items()},
            accounts=self._auditor.accounts,
            audits=self._auditor.audits,
            worst=self._auditor.worst,
            samples=samples,
        )

    def _has_room_for(self, frames: Sequence[Frame]) -> bool:
        images = Counter(frame.camera for frame in frames)
        for _, others in self._under_way:
            images.update(frame.camera for frame in others)
        return not self._under_way or max(images.values(), default=0) <= _UNDER_WAY

    def _send(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self._cameras[frame.camera].send(frame)
            self._sent[frame.fault] += 1
        self._under_way.append((time.time_ns(), frames))

    def _on_occupancy(self, raw: bytes) -> None:
        """Take a frame set, and all before it, for answered."""
        stamp_ns = stamp_at(raw, CDR_HEADER_BYTES)
        found = [any(f.stamp_ns == stamp_ns for f in frames) for _, frames in self._under_way]
        for _ in range(found.index(True) + 1 if any(found) else 0):
            self._under_way.popleft()

    def _on_diagnostics(self, raw: bytes) -> None:
        """Check the account; frame sets that will have no occupancy count as answered, too."""
        diagnostics = deserialize_message(raw, DiagnosticArray)
        self._auditor.take(diagnostics)
        seen_ns = stamp_at(raw, CDR_HEADER_BYTES) - _SEEN_AFTER_NS
        while self._under_way and self._under_way[0][0] < seen_ns:
            self._under_way.popleft()

    def _come_to_rest(self) -> None:
        """Wait for a whole second in which nothing happens to any image."""
        audits = self._auditor.audits
        self._wait_for(lambda: self._auditor.audits >= audits + 2 and self._auditor.at_rest)

    def _wait_for(self, condition: Any) -> None:
        if not self._ears.spin_until(condition, self._node.check_alive):
            raise SelfOccError(
                f'nothing came from the node for a minute; its last words: '
                f'{self._node.last_words()}'
            )


if __name__ == '__main__':
    sys.exit(main())
