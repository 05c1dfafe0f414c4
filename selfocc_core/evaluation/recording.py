"""What the node published, matched by stamp with what the drive knows of the truth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.bag_messages import decode_float, decode_point_cloud, stamp_ns_of, xyz
from selfocc_core.bags import BagReader
from selfocc_core.depth import DepthImage
from selfocc_core.errors import SelfOccError

POINTS_TOPIC = '/surround/occupancy/points'

DEPTH_TOPIC = re.compile(r'/surround/([a-z][a-z0-9_]*)/depth/(image|camera_info)')
_LARGEST = 1e6  # of a focal length in pixels, and more than of a principal point
_TYPES = {
    'points': 'sensor_msgs/msg/PointCloud2',
    'image': 'sensor_msgs/msg/Image',
    'camera_info': 'sensor_msgs/msg/CameraInfo',
}


@dataclass(frozen=True, eq=False)
class Recording:
    """Everything a node published during a replay.

    Attributes:
        occupancy: Centres of the occupied voxels ``[P, 3]`` in the ego frame, by stamp.
        depths: Depth images by camera and shutter time.
    """

    occupancy: Mapping[int, NDArray[np.float64]]
    depths: Mapping[tuple[str, int], DepthImage]


def read_recording(path: Path) -> Recording:
    """Read the published topics.

    Raises:
        SelfOccError: The bag is missing or damaged, or a topic is not what the node publishes.
    """
    occupancy: dict[int, NDArray[np.float64]] = {}
    images: dict[tuple[str, int], NDArray[np.float32]] = {}
    intrinsics: dict[tuple[str, int], NDArray[np.float64]] = {}
    with BagReader(path) as bag:
        matches = {topic: DEPTH_TOPIC.fullmatch(topic) for topic in bag.topics}
        topics = [t for t in bag.topics if t == POINTS_TOPIC or matches[t]]
        for bag_message in bag.messages(topics):
            match = matches[bag_message.topic]
            kind = 'points' if match is None else match[2]
            try:
                message = bag_message.decode(_TYPES[kind])
                stamp_ns = stamp_ns_of(message)
                if match is None:
                    occupancy[stamp_ns] = xyz(decode_point_cloud(message))
                elif kind == 'image':
                    images[match[1], stamp_ns] = decode_float(message)
                else:
                    intrinsics[match[1], stamp_ns] = _intrinsics(message)
            except SelfOccError as error:
                raise SelfOccError(f'bag {path}, {bag_message.topic}: {error}') from error
    complete = images.keys() & intrinsics.keys()
    depths = {key: DepthImage(images[key], intrinsics[key]) for key in sorted(complete)}
    return Recording(occupancy, depths)


def _intrinsics(info: Any) -> NDArray[np.float64]:
    """Return K ``[3, 3]``, which may come from anywhere."""
    matrix = np.asarray(info.k, np.float64).reshape(3, 3)
    if not (np.abs(matrix) < _LARGEST).all():
        raise SelfOccError('its K is no calibration: is the recording damaged?')
    return matrix
