"""The vehicle's motion in a recorded drive, from its odometry."""

from __future__ import annotations

import numpy as np

from selfocc_core.bag_messages import parent_from_child, stamp_ns_of
from selfocc_core.bags import BagReader
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Trajectory, Transform

ODOMETRY_TOPIC = '/odometry'


def trajectory_from_bag(bag: BagReader, topic: str = ODOMETRY_TOPIC) -> Trajectory:
    """Return ``world_from_ego`` over the drive.

    Messages out of order or with a repeated stamp are put in order; the first of a stamp counts.

    Raises:
        SelfOccError: The bag has no odometry, or it contains values that are not finite.
    """
    bag.require([topic])
    poses: dict[int, Transform] = {}
    for message in bag.messages([topic]):
        odometry = message.decode()
        poses.setdefault(stamp_ns_of(odometry), parent_from_child(odometry.pose.pose))
    stamps_ns = sorted(poses)
    world_from_ego = np.stack([poses[stamp_ns] for stamp_ns in stamps_ns])
    if not np.isfinite(world_from_ego).all():
        raise SelfOccError(f'{topic} in bag {bag.path} contains poses that are not finite numbers')
    return Trajectory(np.array(stamps_ns, np.int64), world_from_ego)
