"""Rigid transforms: 4x4 float64 matrices, always named ``target_from_source``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

from selfocc_core.errors import SelfOccError

Transform = NDArray[np.float64]

_SPEED_OVER_NS = 50_000_000
_MAX_EXTRAPOLATION_NS = 100_000_000


def transform_from_quaternion(translation_m: ArrayLike, quaternion_xyzw: ArrayLike) -> Transform:
    """Return the 4x4 transform of a translation in metres and a quaternion (x, y, z, w).

    Raises:
        SelfOccError: A value is not finite, or the quaternion is zero.
    """
    translation_m = np.asarray(translation_m, np.float64)
    quaternion = np.asarray(quaternion_xyzw, np.float64)
    norm = float(np.linalg.norm(quaternion))
    if not (np.isfinite(translation_m).all() and np.isfinite(norm) and norm > 1e-3):
        raise SelfOccError(
            f'{translation_m.tolist()} with quaternion {quaternion.tolist()} is no pose: '
            'correct the rig file, the transform or the odometry'
        )
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    transform[:3, 3] = translation_m
    return transform


def quaternion_from_transform(target_from_source: Transform) -> NDArray[np.float64]:
    """Return the rotation of a transform as a unit quaternion (x, y, z, w) with w >= 0."""
    return Rotation.from_matrix(target_from_source[:3, :3]).as_quat(canonical=True)


def invert(target_from_source: Transform) -> Transform:
    """Return ``source_from_target`` of rigid transforms ``[..., 4, 4]``."""
    source_from_target = np.zeros_like(target_from_source)
    rotation = np.swapaxes(target_from_source[..., :3, :3], -1, -2)
    source_from_target[..., :3, :3] = rotation
    source_from_target[..., :3, 3:] = -rotation @ target_from_source[..., :3, 3:]
    source_from_target[..., 3, 3] = 1.0
    return source_from_target


def transform_points(target_from_source: Transform, points: ArrayLike) -> NDArray[np.float64]:
    """Map points ``[..., 3]`` from the source frame into the target frame."""
    points = np.asarray(points, np.float64)
    mapped = points @ target_from_source[:3, :3].T + target_from_source[:3, 3]
    return np.asarray(mapped, np.float64)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Where the vehicle was: ``world_from_ego`` over time.

    Attributes:
        stamps_ns: Strictly increasing stamps ``[T]``.
        world_from_ego: Poses ``[T, 4, 4]`` at those stamps.
    """

    stamps_ns: NDArray[np.int64]
    world_from_ego: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.stamps_ns) == 0 or len(self.stamps_ns) != len(self.world_from_ego):
            raise SelfOccError('a trajectory needs at least one pose and one stamp for each pose')
        if np.any(np.diff(self.stamps_ns) <= 0):
            raise SelfOccError('the stamps of a trajectory must increase: sort the poses by time')

    def at(self, stamp_ns: int) -> Transform:
        """Return ``world_from_ego`` at a stamp: linear in position, spherical in rotation.

        Raises:
            SelfOccError: The stamp lies more than 0.1 s outside the recorded poses.
        """
        self._check_covers(stamp_ns)
        clamped_ns = int(np.clip(stamp_ns, self.stamps_ns[0], self.stamps_ns[-1]))
        after = int(np.clip(np.searchsorted(self.stamps_ns, clamped_ns), 1, None))
        if after >= len(self.stamps_ns):
            return np.array(self.world_from_ego[-1])
        return self._between(after - 1, after, clamped_ns)

    def extended_to(self, stamp_ns: int) -> Trajectory:
        """Return the trajectory with a pose at a later stamp, as if the motion went on evenly.

        Speed over ground and turn rate are those of the last twentieth of a second or more: of two
        poses too near in time the difference is mostly noise. Of a single pose nothing is known,
        and it stays.
        """
        if stamp_ns <= self.stamps_ns[-1]:
            return self
        ahead = self._ahead(stamp_ns) if len(self.stamps_ns) > 1 else self.world_from_ego[-1]
        return Trajectory(
            np.append(self.stamps_ns, np.int64(stamp_ns)),
            np.concatenate([self.world_from_ego, ahead[None]]),
        )

    def _ahead(self, stamp_ns: int) -> Transform:
        """Return the pose that follows if the last motion is continued."""
        last, last_ns = self.world_from_ego[-1], self.stamps_ns[-1]
        earlier = max(
            0, int(np.searchsorted(self.stamps_ns, last_ns - _SPEED_OVER_NS, 'right')) - 1
        )
        before, before_ns = self.world_from_ego[earlier], self.stamps_ns[earlier]
        steps = float(stamp_ns - last_ns) / float(last_ns - before_ns)
        turn = Rotation.from_matrix(before[:3, :3].T @ last[:3, :3]).as_rotvec()
        pose = np.eye(4)
        pose[:3, :3] = last[:3, :3] @ Rotation.from_rotvec(steps * turn).as_matrix()
        pose[:3, 3] = last[:3, 3] + steps * (last[:3, 3] - before[:3, 3])
        return pose

    def is_known(self, stamps_ns: NDArray[np.int64], longest_gap_ns: int) -> NDArray[np.bool_]:
        """Return which stamps ``[...]`` are of a pose or between two not too far apart."""
        known_ns = self.stamps_ns
        if len(known_ns) < 2:
            return np.asarray(stamps_ns == known_ns[0], bool)
        after = np.searchsorted(known_ns, stamps_ns).clip(1, len(known_ns) - 1)
        before_ns, after_ns = known_ns[after - 1], known_ns[after]
        is_between = (before_ns <= stamps_ns) & (stamps_ns <= after_ns)
        is_of_pose = (before_ns == stamps_ns) | (after_ns == stamps_ns)
        is_near = after_ns - before_ns <= longest_gap_ns
        return np.asarray(is_of_pose | (is_between & is_near), bool)

    def _check_covers(self, stamp_ns: int) -> None:
        first_ns, last_ns = int(self.stamps_ns[0]), int(self.stamps_ns[-1])
        if not first_ns - _MAX_EXTRAPOLATION_NS <= stamp_ns <= last_ns + _MAX_EXTRAPOLATION_NS:
            raise SelfOccError(
                f'no vehicle pose at {stamp_ns} ns: odometry covers {first_ns} to {last_ns} ns; '
                'record odometry for the whole drive'
            )

    def _between(self, before: int, after: int, stamp_ns: int) -> Transform:
        start_ns, end_ns = self.stamps_ns[before], self.stamps_ns[after]
        fraction = float(stamp_ns - start_ns) / float(end_ns - start_ns)
        pose = np.eye(4)
        rotations = Rotation.from_matrix(self.world_from_ego[[before, after], :3, :3])
        pose[:3, :3] = Slerp([0.0, 1.0], rotations)(fraction).as_matrix()
        start, end = self.world_from_ego[before, :3, 3], self.world_from_ego[after, :3, 3]
        pose[:3, 3] = start + fraction * (end - start)
        return pose
