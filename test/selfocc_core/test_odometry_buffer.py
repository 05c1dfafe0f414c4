from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.errors import SelfOccError
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
    buffer = filled(range(0, 50_000 * 10**6, 5 * 10**6))
    trajectory = buffer.covering([49_995 * 10**6])
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


def test_poses_at_a_kilohertz_are_thinned_and_their_noise_is_not_continued():
    """Half a millimetre of noise over a millisecond is half a metre a second."""
    generator = np.random.default_rng(2)
    buffer = OdometryBuffer()
    for tick in range(1000):
        noisy = pose(20e-3 * tick)
        noisy[0, 3] += generator.normal(0, 0.5e-3)
        buffer.add(tick * 10**6, noisy)
    trajectory = buffer.covering([1_050_000_000])
    assert trajectory is not None
    assert len(trajectory.stamps_ns) <= 202
    assert abs(trajectory.at(1_050_000_000)[0, 3] - 21.0) < 0.02


def test_a_vehicle_does_not_jump():
    buffer = filled([10**9])
    with pytest.raises(SelfOccError, match=r'jumped by 40.0 m in 20 ms'):
        buffer.add(1_020_000_000, pose(41.0))
    assert buffer.covering([10**9]) is None
    buffer.add(1_040_000_000, pose(1.04))
    assert buffer.covering([1_040_000_000]) is not None
