"""The vehicle's recent motion, from its odometry."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from selfocc_core.errors import SelfOccError
from selfocc_core.synchronizer import SynchronizedSet
from selfocc_core.transforms import Trajectory, Transform

_CAPACITY = 512
_CLOCK_JUMP_NS = 1_000_000_000
_SHORTEST_STEP_NS = 5_000_000  # poses that come faster add nothing but noise
_FASTEST_M_S = 100.0
# Odometry comes later than images, by its own period and the time it takes to compute. So far
# ahead of its newest pose the motion is continued.
_LONGEST_EXTENSION_NS = 200_000_000


class OdometryBuffer:
    """Keeps the newest poses; older ones fall out."""

    def __init__(self) -> None:
        self._poses: deque[tuple[int, Transform]] = deque(maxlen=_CAPACITY)

    def add(self, stamp_ns: int, world_from_ego: Transform) -> None:
        """Take a pose; one that is late is left out, one far back means that the clock was set.

        Raises:
            SelfOccError: No vehicle gets from the pose before to this one in that time.
        """
        if self._poses and stamp_ns < self._poses[-1][0] - _CLOCK_JUMP_NS:
            self._poses.clear()
        if self._poses:
            step_ns = stamp_ns - self._poses[-1][0]
            if step_ns < _SHORTEST_STEP_NS:
                return
            self._check_speed(world_from_ego, step_ns)
        self._poses.append((stamp_ns, world_from_ego))

    def _check_speed(self, world_from_ego: Transform, step_ns: int) -> None:
        step_m = float(np.linalg.norm(world_from_ego[:3, 3] - self._poses[-1][1][:3, 3]))
        if step_m > _FASTEST_M_S * step_ns * 1e-9:
            self._poses.clear()  # which of the two is wrong, nobody knows
            raise SelfOccError(
                f'the pose of the vehicle jumped by {step_m:.1f} m in {step_ns * 1e-6:.0f} ms: '
                'use a frame that moves smoothly, such as odom'
            )

    def clear(self) -> None:
        """Forget all poses."""
        self._poses.clear()

    def covering_set(self, images: SynchronizedSet[Any]) -> Trajectory | None:
        """Return the motion over all stamps of a frame set; ``None`` if it is not known."""
        return self.covering([images.stamp_ns, *images.stamps_ns.values()])

    def reaches(self, stamp_ns: int) -> bool:
        """Return whether there is a pose at this stamp or later."""
        return bool(self._poses) and self._poses[-1][0] >= stamp_ns

    def covering(self, stamps_ns: Iterable[int]) -> Trajectory | None:
        """Return the motion over all stamps; ``None`` if the poses do not reach them.

        The last fifth of a second may be continued from the motion before it.
        """
        stamps_ns, poses = list(stamps_ns), list(self._poses)
        if not poses or poses[-1][0] < max(stamps_ns) - _LONGEST_EXTENSION_NS:
            return None
        trajectory = Trajectory(
            np.array([stamp_ns for stamp_ns, _ in poses], np.int64),
            np.stack([pose for _, pose in poses]),
        ).extended_to(max(stamps_ns))
        try:
            for stamp_ns in stamps_ns:
                trajectory.at(stamp_ns)
        except SelfOccError:
            return None
        return trajectory
