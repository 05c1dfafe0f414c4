"""What was recorded of a model's results, one after another: a recording may be long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from selfocc_core.bag_messages import decode_float, decode_point_cloud, stamp_ns_of, xyz
from selfocc_core.bags import BagReader
from selfocc_core.depth import DepthImage
from selfocc_core.evaluation.recording import DEPTH_TOPIC, POINTS_TOPIC

Left = TypeVar('Left')
Right = TypeVar('Right')
Key = tuple[str, int]
"""A name, such as that of a camera, and a time in nanoseconds."""

_WINDOW_NS = 2_000_000_000
_SPREAD_NS = 1_000_000_000  # of the shutters of one moment, at most


@dataclass(frozen=True, eq=False)
class RecordingIndex:
    """What there is in a recording.

    Attributes:
        moments_ns: Stamps of all results, sorted.
        images: Camera and shutter time of all depth images, by time.
    """

    moments_ns: NDArray[np.int64]
    images: tuple[Key, ...]

    def moment_of(self, stamp_ns: int) -> int:
        """Return the stamp of the result to which an image of this shutter time belongs."""
        return int(self.moments_ns[np.abs(self.moments_ns - stamp_ns).argmin()])

    def cameras_at(self, moment_ns: int) -> list[str]:
        """Return the cameras whose images went into the result of this stamp."""
        near = [key for key in self.images if abs(key[1] - moment_ns) <= _SPREAD_NS]
        return sorted({name for name, ns in near if self.moment_of(ns) == moment_ns})


def index_of(recording: Path) -> RecordingIndex:
    """Read which results a recording has, not the results.

    Raises:
        SelfOccError: The bag is missing or damaged.
    """
    moments_ns: list[int] = []
    images: list[Key] = []
    with BagReader(recording) as bag:
        matches = {topic: DEPTH_TOPIC.fullmatch(topic) for topic in bag.topics}
        cameras = {t: m[1] for t, m in matches.items() if m is not None and m[2] == 'image'}
        for message in bag.messages([POINTS_TOPIC, *cameras]):
            # Filed under the stamp of its header.
            if message.topic == POINTS_TOPIC:
                moments_ns.append(message.stamp_ns)
            else:
                images.append((cameras[message.topic], message.stamp_ns))
    return RecordingIndex(np.array(sorted(moments_ns), np.int64), tuple(images))


def recorded_occupancy(recording: Path) -> Iterator[tuple[Key, NDArray[np.float64]]]:
    """Yield stamp and centres ``[P, 3]`` of the occupied voxels of each result, by time.

    The name in the key is empty.
    """
    with BagReader(recording) as bag:
        for message in bag.messages([POINTS_TOPIC]):
            cloud = message.decode()
            yield ('', stamp_ns_of(cloud)), xyz(decode_point_cloud(cloud))


def recorded_depths(recording: Path) -> Iterator[tuple[Key, DepthImage]]:
    """Yield camera, shutter time and depth image of each result, by time."""
    images: dict[Key, NDArray[np.float32]] = {}
    intrinsics: dict[Key, NDArray[np.float64]] = {}
    with BagReader(recording) as bag:
        matches = {topic: DEPTH_TOPIC.fullmatch(topic) for topic in bag.topics}
        for bag_message in bag.messages([topic for topic in bag.topics if matches[topic]]):
            message, match = bag_message.decode(), matches[bag_message.topic]
            key = match[1] if match else '', stamp_ns_of(message)
            if match and match[2] == 'image':
                images[key] = decode_float(message)
            else:
                intrinsics[key] = np.asarray(message.k).reshape(3, 3)
            if key in images and key in intrinsics:
                yield key, DepthImage(images.pop(key), intrinsics.pop(key))


def matched(
    left: Iterator[tuple[Key, Left]], right: Iterator[tuple[Key, Right]]
) -> Iterator[tuple[Key, Left, Right]]:
    """Yield the items of two streams that have the same key.

    A key is a name and a time in nanoseconds. Both streams go on in time, up to two seconds; what
    finds no partner within that is let go, so that long streams need little memory.
    """
    waiting: tuple[dict[Key, Any], dict[Key, Any]] = ({}, {})
    for side, key, item in merge(_tagged(0, left), _tagged(1, right), key=lambda each: each[1][1]):
        other = waiting[1 - side].pop(key, None)
        if other is None:
            waiting[side][key] = item
        else:
            yield (key, item, other) if side == 0 else (key, other, item)
        for of_side in waiting:
            while of_side and (oldest := next(iter(of_side)))[1] < key[1] - _WINDOW_NS:
                del of_side[oldest]


def _tagged(side: int, items: Iterator[tuple[Key, Any]]) -> Iterator[tuple[int, Key, Any]]:
    return ((side, key, item) for key, item in items)
