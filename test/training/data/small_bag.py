"""A short recorded drive as a list of messages, to be spoilt by tests before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.transforms import transform_from_quaternion
from training.config import InputConfig

START_NS, PERIOD_NS, SETS = 1_700_000_000 * 10**9, 100_000_000, 12
RIG = nuscenes_like_rig(64, 36)
IMAGES = InputConfig(6, 32, 64, supervision_height=32, supervision_width=64)
SPEED_M_S = 5.0


class Entry(NamedTuple):
    """A message to write."""

    stamp_ns: int
    topic: str
    message: Any


Change = Callable[[list[Entry]], Iterable[Entry]]


def drive(*, raw: bool = False) -> list[Entry]:
    """Return the messages of a drive straight ahead, in order."""
    mountings = [
        messages.transform_stamped('base_link', c.frame_id, c.ego_from_camera, 0) for c in RIG
    ]
    entries = [Entry(START_NS - PERIOD_NS, '/tf_static', messages.tf_message(mountings))]
    for tick in range(-5, 5 * SETS + 5):
        stamp_ns = START_NS + tick * PERIOD_NS // 5
        pose = transform_from_quaternion((SPEED_M_S * tick * 0.02, 0, 0), (0, 0, 0, 1))
        odometry = messages.odometry('odom', pose, (SPEED_M_S, 0, 0), (0, 0, 0), stamp_ns)
        entries.append(Entry(stamp_ns, '/odometry', odometry))
        link = messages.transform_stamped('odom', 'base_link', pose, stamp_ns)
        entries.append(Entry(stamp_ns, '/tf', messages.tf_message([link])))
    for index in range(SETS):
        entries += _frame_set(index, raw=raw)
    return sorted(entries, key=lambda entry: entry.stamp_ns)


def image(index: int, brightness: int = 100) -> np.ndarray:
    """Return the picture of a moment, all of one colour that tells which it is."""
    return np.full((RIG['front'].height, RIG['front'].width, 3), brightness + index, np.uint8)


def _frame_set(index: int, *, raw: bool) -> list[Entry]:
    entries = []
    for k, camera in enumerate(RIG):
        stamp_ns = START_NS + index * PERIOD_NS + 5_000_000 * k
        make = messages.raw_image if raw else messages.compressed_image
        topic = f'/camera/{camera.name}/image' + ('' if raw else '/compressed')
        entries.append(Entry(stamp_ns, topic, make(image(index), stamp_ns, camera.frame_id)))
        info = messages.camera_info(camera, stamp_ns)
        entries.append(Entry(stamp_ns, f'/camera/{camera.name}/camera_info', info))
    return entries


def write(path: Path, entries: Iterable[Entry]) -> Path:
    with BagWriter(path) as bag:
        for entry in entries:
            bag.write(entry.topic, entry.message, entry.stamp_ns)
    return path


def of(topic: str) -> Callable[[Entry], bool]:
    return lambda entry: entry.topic.startswith(topic)


def without(topic: str, sets: Iterable[int] | None = None) -> Change:
    """Leave out messages of a topic, those of some moments or all."""
    times = None if sets is None else [(START_NS + s * PERIOD_NS) for s in sets]

    def is_out(entry: Entry) -> bool:
        in_time = times is None or any(0 <= entry.stamp_ns - t < PERIOD_NS for t in times)
        return entry.topic.startswith(topic) and in_time

    return lambda entries: [entry for entry in entries if not is_out(entry)]


def spoilt(topic: str, spoil: Callable[[Any], Any], sets: Iterable[int] | None = None) -> Change:
    """Change messages of a topic, those of some moments or all; they are changed in place."""
    kept = without(topic, sets)

    def change(entries: list[Entry]) -> list[Entry]:
        untouched = {id(entry) for entry in kept(entries)}
        return [e if id(e) in untouched else e._replace(message=spoil(e.message)) for e in entries]

    return change


def renamed(old: str, new: str) -> Change:
    """Move topics to another namespace."""
    return lambda entries: [e._replace(topic=e.topic.replace(old, new, 1)) for e in entries]
