"""The vehicle's motion in a recorded drive, from its odometry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from selfocc_core.bag_messages import parent_from_child, stamp_ns_of
from selfocc_core.bags import BagReader
from selfocc_core.drive_topics import (
    ODOMETRY_TOPIC,
    ODOMETRY_TYPE,
    TF_TYPE,
    odometry_topic,
)
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Trajectory, Transform


def trajectory_from_bag(bag: BagReader, base_frame: str = 'base_link') -> Trajectory:
    """Return ``world_from_ego`` over the drive: its odometry, or else the same in its /tf.

    Messages out of order or with a repeated stamp are put in order; the first of a stamp counts.

    Raises:
        SelfOccError: The bag has neither, or it contains values that are no pose.
    """
    topic = motion_topic(bag, base_frame) or ODOMETRY_TOPIC
    bag.require([topic])
    poses: dict[int, Transform] = {}
    try:
        for stamped, pose in _messages(bag, topic, base_frame):
            poses.setdefault(stamp_ns_of(stamped), parent_from_child(pose))
    except SelfOccError as error:
        raise SelfOccError(f'{topic} in bag {bag.path}: {error}') from error
    stamps_ns = sorted(poses)
    world_from_ego = np.stack([poses[stamp_ns] for stamp_ns in stamps_ns])
    return Trajectory(np.array(stamps_ns, np.int64), world_from_ego)


def motion_topic(bag: BagReader, base_frame: str = 'base_link') -> str | None:
    """Return the topic that tells how the vehicle moved, ``None`` if there is none.

    Raises:
        SelfOccError: There are several, or the only one cannot be read.
    """
    topic = odometry_topic(bag)
    if bag.count([topic]):
        return topic
    try:
        return '/tf' if next(_links(bag, base_frame), None) is not None else None
    except SelfOccError as error:
        raise SelfOccError(f'/tf in bag {bag.path}: {error}') from error


def _messages(bag: BagReader, topic: str, base_frame: str) -> Iterator[tuple[Any, Any]]:
    """Yield what has the stamp, and the pose."""
    if topic == '/tf':
        yield from ((link, link.transform) for link in _links(bag, base_frame))
        return
    for message in bag.messages([topic]):
        odometry = message.decode(ODOMETRY_TYPE)
        yield odometry, odometry.pose.pose


def _links(bag: BagReader, base_frame: str) -> Iterator[Any]:
    """Yield the transforms from the vehicle to its parent, which is the odometry's frame."""
    for message in bag.messages(['/tf']):
        for link in message.decode(TF_TYPE).transforms:
            if link.child_frame_id.lstrip('/') == base_frame:
                yield link
