from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import points, transforms

from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import (
    Trajectory,
    invert,
    quaternion_from_transform,
    transform_from_quaternion,
    transform_points,
)


@given(transforms(), points)
def test_inverse_brings_points_back(a_from_b, point):
    there = transform_points(a_from_b, point)
    np.testing.assert_allclose(transform_points(invert(a_from_b), there), point, atol=1e-9)


@given(transforms(), transforms(), points)
def test_chain_is_the_product(a_from_b, b_from_c, point):
    step_by_step = transform_points(a_from_b, transform_points(b_from_c, point))
    np.testing.assert_allclose(
        transform_points(a_from_b @ b_from_c, point), step_by_step, atol=1e-9
    )


@given(transforms())
def test_quaternion_survives_a_round_trip(a_from_b):
    quaternion = quaternion_from_transform(a_from_b)
    assert np.linalg.norm(quaternion) == pytest.approx(1.0)
    assert quaternion[3] >= 0
    again = transform_from_quaternion(a_from_b[:3, 3], quaternion)
    np.testing.assert_allclose(again, a_from_b, atol=1e-9)


def test_quaternion_order_is_xyzw():
    quarter_turn_left = transform_from_quaternion((0, 0, 0), (0, 0, np.sqrt(0.5), np.sqrt(0.5)))
    np.testing.assert_allclose(
        transform_points(quarter_turn_left, (1.0, 0.0, 0.0)), (0, 1, 0), atol=1e-12
    )


def test_invert_takes_a_batch():
    batch = np.stack([transform_from_quaternion((1, 2, 3), (0, 0, 0.6, 0.8)), np.eye(4)])
    np.testing.assert_allclose(invert(batch) @ batch, np.tile(np.eye(4), (2, 1, 1)), atol=1e-12)


def drive_forward() -> Trajectory:
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 0, 3] = (0.0, 1.0, 3.0)
    poses[2, :3, :3] = transform_from_quaternion((0, 0, 0), (0, 0, 1, 1))[:3, :3]
    return Trajectory(np.array([0, 10**9, 2 * 10**9]), poses)


def test_trajectory_is_exact_at_its_stamps():
    trajectory = drive_forward()
    for stamp_ns, pose in zip(trajectory.stamps_ns, trajectory.world_from_ego, strict=True):
        np.testing.assert_allclose(trajectory.at(int(stamp_ns)), pose, atol=1e-12)


def test_trajectory_is_linear_in_position_and_spherical_in_rotation():
    pose = drive_forward().at(1_500_000_000)
    assert pose[0, 3] == pytest.approx(2.0)
    np.testing.assert_allclose(pose[:2, 0], np.sqrt(0.5), atol=1e-12)  # 45 degrees to the left


@given(st.integers(0, 2 * 10**9))
def test_interpolated_poses_are_rigid(stamp_ns):
    rotation = drive_forward().at(stamp_ns)[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)


def test_trajectory_holds_its_ends_for_a_tenth_of_a_second_and_no_longer():
    trajectory = drive_forward()
    assert trajectory.at(-90_000_000)[0, 3] == 0.0
    assert trajectory.at(2_090_000_000)[0, 3] == 3.0
    with pytest.raises(SelfOccError, match='odometry'):
        trajectory.at(2_200_000_000)
    with pytest.raises(SelfOccError, match='odometry'):
        trajectory.at(-200_000_000)


def test_poses_are_known_between_two_that_are_near():
    stamps_ns = np.array([0, 100, 400, 500], np.int64)
    trajectory = Trajectory(stamps_ns, np.tile(np.eye(4), (4, 1, 1)))
    asked = np.array([-1, 0, 50, 100, 101, 399, 400, 450, 500, 501])
    known = trajectory.is_known(asked, longest_gap_ns=100)
    assert known.tolist() == [False, True, True, True, False, False, True, True, True, False]
    alone = Trajectory(stamps_ns[:1], np.eye(4)[None])
    assert alone.is_known(np.array([0, 1]), 100).tolist() == [True, False]


def test_trajectory_with_one_pose():
    assert Trajectory(np.array([5]), np.eye(4)[None]).at(7)[3, 3] == 1.0


@pytest.mark.parametrize('stamps', [[], [0, 0], [1, 0]])
def test_trajectory_refuses_stamps_that_do_not_increase(stamps):
    with pytest.raises(SelfOccError, match='trajectory'):
        Trajectory(np.array(stamps, np.int64), np.tile(np.eye(4), (len(stamps), 1, 1)))


@pytest.mark.parametrize('quaternion', [(0, 0, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 1)])
def test_a_broken_quaternion_is_one_sentence(quaternion):
    with pytest.raises(SelfOccError, match='is no pose'):
        transform_from_quaternion((0, 0, 0), quaternion)


@given(
    st.floats(-20, 20),
    st.floats(-20, 20),
    st.floats(-1.0, 1.0),
    st.integers(1, 200_000_000),
    st.integers(10_000_000, 100_000_000),
)
def test_even_motion_is_continued_exactly(vx_m_s, vy_m_s, turn_rad_s, ahead_ns, step_ns):
    """Even: at one velocity over ground while turning at one rate, such as a spinning puck."""

    def pose(stamp_ns):
        time_s = stamp_ns * 1e-9
        half = 0.5 * turn_rad_s * time_s
        place = (vx_m_s * time_s, vy_m_s * time_s, 0.0)
        return transform_from_quaternion(place, (0.0, 0.0, np.sin(half), np.cos(half)))

    known = Trajectory(np.array([0, step_ns]), np.stack([pose(0), pose(step_ns)]))
    extended = known.extended_to(step_ns + ahead_ns)
    np.testing.assert_allclose(
        extended.at(step_ns + ahead_ns), pose(step_ns + ahead_ns), atol=1e-6
    )
    np.testing.assert_array_equal(extended.at(step_ns), known.at(step_ns))


def test_what_is_covered_is_not_extended_and_a_single_pose_stays():
    known = drive_forward()
    assert known.extended_to(int(known.stamps_ns[-1])) is known
    alone = Trajectory(np.array([0]), np.eye(4)[None])
    np.testing.assert_array_equal(alone.extended_to(10**8).at(10**8), np.eye(4))
