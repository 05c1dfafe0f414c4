"""Whether a recorded drive tells how the vehicle moved, and whether it moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from selfocc_core.doctor.finding import Finding, error, ok, warning
from selfocc_core.doctor.recorded_images import RecordedCamera
from selfocc_core.doctor.sampled_bag import SampledBag
from selfocc_core.errors import SelfOccError
from selfocc_core.trajectory_from_bag import motion_topic, trajectory_from_bag
from selfocc_core.transforms import Trajectory

# As for training: between poses farther apart the vehicle may have turned or braked.
_LONGEST_POSE_GAP_NS = 150_000_000
_COVERED_SHARE = 0.95
_STANDING_M = 1.0
_FASTEST_M_S = 70.0
_SUBJECT = 'motion'


def motion_findings(
    bag: SampledBag, recorded: Mapping[str, RecordedCamera], base_frame: str
) -> Iterator[Finding]:
    """Yield whether poses cover the images, and how far the vehicle moves."""
    try:
        topic = motion_topic(bag, base_frame)
        if topic is None:
            yield warning(
                _SUBJECT,
                'the bag has no nav_msgs/Odometry and no /tf of base_link: the node can do '
                'without, training cannot; record one',
            )
            return
        trajectory = trajectory_from_bag(bag, base_frame)
    except SelfOccError as problem:
        yield error(_SUBJECT, str(problem))
        return
    stamps_ns = np.concatenate([camera.stamps_ns for camera in recorded.values()])
    yield from _cover(topic, trajectory, stamps_ns)
    yield from _distance(topic, trajectory)


def _cover(topic: str, trajectory: Trajectory, stamps_ns: NDArray[np.int64]) -> Iterator[Finding]:
    if len(stamps_ns) == 0:
        return
    share = float(np.mean(trajectory.is_known(stamps_ns, _LONGEST_POSE_GAP_NS)))
    words = f'{topic} covers {100 * share:.0f} % of the images'
    apart_s = _apart_s(trajectory, stamps_ns)
    if share == 0 and apart_s > 0:
        yield error(
            _SUBJECT,
            f'{words}: its stamps lie {apart_s:.1f} s from theirs; synchronise the clocks',
        )
    elif share < _COVERED_SHARE:
        yield warning(
            _SUBJECT, f'{words}: poses are missing or more than 0.15 s apart; record all of them'
        )
    else:
        yield ok(_SUBJECT, f'{words}, {len(trajectory.stamps_ns)} poses')


def _apart_s(trajectory: Trajectory, stamps_ns: NDArray[np.int64]) -> float:
    """Return how far the poses begin after the images end, or end before they begin."""
    first_ns, last_ns = trajectory.stamps_ns[0], trajectory.stamps_ns[-1]
    return float(max(first_ns - stamps_ns.max(), stamps_ns.min() - last_ns)) * 1e-9


def _distance(topic: str, trajectory: Trajectory) -> Iterator[Finding]:
    steps_m = np.linalg.norm(np.diff(trajectory.world_from_ego[:, :3, 3], axis=0), axis=1)
    seconds = np.diff(trajectory.stamps_ns) * 1e-9
    jumps = int(np.sum(steps_m > _FASTEST_M_S * seconds + _STANDING_M))
    if jumps:
        yield warning(
            _SUBJECT,
            f'the pose on {topic} jumps {jumps} times: give odometry that is smooth (frame odom), '
            'not a position on a map',
        )
    elif steps_m.sum() < _STANDING_M:
        yield warning(
            _SUBJECT,
            f'the vehicle moves {steps_m.sum():.2f} m: there is nothing to learn from, drive on',
        )
    else:
        yield ok(_SUBJECT, f'the vehicle moves {steps_m.sum():.0f} m')
