"""What a recorded drive says of the vehicle: its cameras, its frames, its motion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selfocc_core.bags import BagReader
from selfocc_core.cameras import Rig
from selfocc_core.rig_from_bag import rig_from_bag, static_transforms
from selfocc_core.trajectory_from_bag import motion_topic, trajectory_from_bag
from selfocc_core.transform_tree import TransformTree
from selfocc_core.transforms import Trajectory, Transform, invert

EGO_FRAME = 'base_link'


@dataclass(frozen=True, eq=False)
class Drive:
    """A recorded drive without its images.

    Attributes:
        path: The bag.
        topics: Type of each topic in it.
        rig: Its cameras.
        frames: Where the fixed frames are on the vehicle.
        trajectory: How the vehicle moved; ``None`` without odometry.
    """

    path: Path
    topics: Mapping[str, str]
    rig: Rig
    frames: TransformTree
    trajectory: Trajectory | None

    def motion(self, target_ns: int, source_ns: int) -> Transform:
        """Return ``ego_at_target_from_ego_at_source``; identity without odometry."""
        if self.trajectory is None or target_ns == source_ns:
            return np.eye(4)
        return invert(self.trajectory.at(target_ns)) @ self.trajectory.at(source_ns)


def read_drive(path: Path) -> Drive:
    """Read calibration and motion of a drive.

    Raises:
        SelfOccError: The bag is damaged, has no ``camera_info`` or no ``/tf_static``, or a camera
            is not calibrated or not mounted on ``base_link``.
    """
    rig = rig_from_bag(path, EGO_FRAME)
    with BagReader(path) as bag:
        return Drive(path, bag.topics, rig, static_transforms(bag), _read_trajectory(bag))


def _read_trajectory(bag: BagReader) -> Trajectory | None:
    return None if motion_topic(bag) is None else trajectory_from_bag(bag, EGO_FRAME)
