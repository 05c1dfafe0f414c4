from __future__ import annotations

import numpy as np

from selfocc_core.odometry_buffer import OdometryBuffer


def pose(x_m):
    transform = np.eye(4)
    transform[0, 3] = x_m
    return transform


def filled(stamps_ns):
    buffer = OdometryBuffer()
    for stamp_ns in stamps_ns:
        buffer.add(stamp_ns, pose(stamp_ns * 1e-9))
    return buffer


def test_poses_between_the_samples_are_interpolated():
    trajectory = filled([10**9, 2 * 10**9]).covering([1_250_000_000])
    assert trajectory is not None
    assert trajectory.at(1_250_000_000)[0, 3] == 1.25


def test_stamps_outside_give_nothing():
    buffer = filled([10**9, 2 * 10**9])
    assert buffer.covering([500_000_000, 1_500_000_000]) is None
    assert OdometryBuffer().covering([0]) is None


def test_a_fifth_of_a_second_is_continued_and_no_more():
    """Images are there before the odometry of their moment is."""
    buffer = filled([10**9, 2 * 10**9])
    trajectory = buffer.covering([1_500_000_000, 2_200_000_000])
    assert trajectory is not None
    np.testing.assert_allclose(trajectory.at(2_200_000_000)[:3, 3], (2.2, 0, 0))
    assert buffer.covering([1_500_000_000, 2_200_000_001]) is None


def test_a_clock_set_back_starts_anew_and_repeats_are_ignored():
    buffer = filled([5 * 10**9, 6 * 10**9, 10**9, 10**9, 2 * 10**9])
    trajectory = buffer.covering([10**9])
    assert trajectory is not None
    assert trajectory.stamps_ns.tolist() == [10**9, 2 * 10**9]


def test_old_poses_fall_out():
    buffer = filled(range(0, 10_000 * 10**6, 10**6))
    trajectory = buffer.covering([9_999 * 10**6])
    assert trajectory is not None
    assert len(trajectory.stamps_ns) == 512


def test_a_pose_that_comes_late_does_not_cost_the_others():
    buffer = filled([10**9, 2 * 10**9, 1_900_000_000, 3 * 10**9])
    trajectory = buffer.covering([10**9])
    assert trajectory is not None
    assert trajectory.stamps_ns.tolist() == [10**9, 2 * 10**9, 3 * 10**9]


def test_cleared_it_knows_nothing():
    buffer = filled([10**9, 2 * 10**9])
    buffer.clear()
    assert buffer.covering([10**9]) is None
