"""The smallest drive that all readers take, as messages, and what readers do with it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from judging import Judge

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagReader, BagWriter
from selfocc_core.cameras import Camera, Rig, nuscenes_like_rig
from selfocc_core.rig_from_bag import rig_from_bag
from selfocc_core.trajectory_from_bag import trajectory_from_bag
from selfocc_core.transforms import transform_from_quaternion

START_NS, PERIOD_NS = 1_700_000_000 * 10**9, 100_000_000
RIG = Rig(nuscenes_like_rig(16, 12).cameras[:2])


class Entry(NamedTuple):
    """A message to write, serialised."""

    topic: str
    type: str
    raw: bytes
    stamp_ns: int


def entry(topic: str, message: Any, stamp_ns: int) -> Entry:
    raw = bytes(messages.typestore().serialize_cdr(message, message.__msgtype__))
    return Entry(topic, message.__msgtype__, raw, stamp_ns)


@cache
def drive(sets: int = 2) -> tuple[Entry, ...]:
    """A drive of two cameras, one compressed and one raw, with odometry, /tf and a cloud."""
    links = [
        messages.transform_stamped('base_link', c.frame_id, c.ego_from_camera, 0) for c in RIG
    ]
    entries = [entry('/tf_static', messages.tf_message(links), START_NS - PERIOD_NS)]
    for tick in range(-2, 2 * sets + 2):
        entries += _motion(tick, START_NS + tick * PERIOD_NS // 2)
    for index in range(sets):
        stamp_ns = START_NS + index * PERIOD_NS
        for camera in RIG:
            entries += _camera(camera, stamp_ns, index)
        cloud = messages.point_cloud(cloud_fields(), stamp_ns, 'base_link')
        entries.append(entry('/surround/occupancy/points', cloud, stamp_ns))
    return tuple(sorted(entries, key=lambda e: e.stamp_ns))


@cache
def slim_drive() -> tuple[Entry, ...]:
    """Return what is needed at least: each topic costs time wherever a bag is opened."""
    return tuple(e for e in drive() if e.topic in _SLIM)


_SLIM = (
    *('/tf_static', '/odometry', '/camera/front/camera_info', '/camera/front/image/compressed'),
)


def _motion(tick: int, stamp_ns: int) -> list[Entry]:
    pose = transform_from_quaternion((0.5 * tick, 0, 0), (0, 0, 0, 1))
    odometry = messages.odometry('odom', pose, (5.0, 0, 0), (0, 0, 0), stamp_ns)
    link = messages.transform_stamped('odom', 'base_link', pose, stamp_ns)
    tf = entry('/tf', messages.tf_message([link]), stamp_ns)
    return [entry('/odometry', odometry, stamp_ns), tf]


def _camera(camera: Camera, stamp_ns: int, index: int) -> list[Entry]:
    image = np.random.default_rng(index).integers(60, 200, (12, 16, 3), np.uint8)
    topic = f'/camera/{camera.name}'
    if camera.name == 'front':
        shown = messages.compressed_image(image, stamp_ns, camera.frame_id)
        pictures = [entry(f'{topic}/image/compressed', shown, stamp_ns)]
    else:
        shown = messages.raw_image(image, stamp_ns, camera.frame_id)
        pictures = [entry(f'{topic}/image', shown, stamp_ns)]
    depth = messages.raw_image(np.full((6, 8), 7.5, np.float32), stamp_ns, camera.frame_id)
    info = messages.camera_info(camera, stamp_ns)
    published = f'/surround/{camera.name}/depth'
    return [
        *pictures,
        entry(f'{topic}/camera_info', info, stamp_ns),
        entry(f'{published}/image', depth, stamp_ns),
        entry(f'{published}/camera_info', messages.camera_info(camera, stamp_ns), stamp_ns),
    ]


def cloud_fields() -> dict[str, np.ndarray[Any, Any]]:
    x, y, z = np.mgrid[-2:2, -2:2, 0:2].reshape(3, -1).astype(np.float32)
    return {'x': x, 'y': y, 'z': z, 'label': np.zeros(x.size, np.uint8)}


def write(path: Path, entries: Iterable[Entry], compress: bool = False) -> Path:
    """Write a bag as the project does."""
    with BagWriter(path, compress) as bag:
        for e in entries:
            bag.write_raw(e.topic, e.type, e.raw, e.stamp_ns)
    return path


def write_quickly(path: Path, entries: Iterable[Entry]) -> Path:
    """Write an MCAP file without chunks and index, as a recorder leaves it that was killed."""
    parts = [_MAGIC, _record(0x01, _text('ros2'), _text('test'))]
    channels: dict[str, int] = {}
    for e in entries:
        if e.topic not in channels:
            number = channels[e.topic] = len(channels) + 1
            id_ = struct.pack('<H', number)
            parts.append(_record(0x03, id_, _text(e.type), _text('ros2msg'), _text('')))
            parts.append(_record(0x04, id_, id_, _text(e.topic), _text('cdr'), _text('')))
        stamps = struct.pack('<QQ', e.stamp_ns, e.stamp_ns)
        head = struct.pack('<HI', channels[e.topic], 0)
        parts.append(_record(0x05, head, stamps, e.raw))
    parts += [_record(0x0F, bytes(4)), _record(0x02, bytes(20)), _MAGIC]
    path.write_bytes(b''.join(parts))
    return path


_MAGIC = b'\x89MCAP0\r\n'


def _record(kind: int, *parts: bytes) -> bytes:
    body = b''.join(parts)
    return struct.pack('<BQ', kind, len(body)) + body


def _text(text: str) -> bytes:
    return struct.pack('<I', len(text.encode())) + text.encode()


_DECODERS = {
    'sensor_msgs/msg/Image': (messages.decode_image, messages.decode_float, messages.decode_mono),
    'sensor_msgs/msg/CompressedImage': (messages.decode_image,),
    'sensor_msgs/msg/PointCloud2': (messages.decode_point_cloud,),
}


def read_all(path: Path, judge: Judge) -> None:
    """Read all that a bag has, as each of its readers does."""
    with judge.entry('messages'), BagReader(path) as bag:
        for message in bag.messages():
            with judge.entry(f'a {message.type}', message.topic):
                decoded = message.decode()
                for decode in _DECODERS.get(message.type, ()):
                    # Who decodes an image knows the topic; all that the message says is its frame.
                    with judge.entry(decode.__name__, 'image', 'point cloud'):
                        decode(decoded)
    with judge.entry('rig_from_bag'):
        rig_from_bag(path)
    with judge.entry('trajectory_from_bag'), BagReader(path) as bag:
        trajectory_from_bag(bag)
