from __future__ import annotations

import numpy as np
import pytest
from handmade_drive import GRID, plane_depth, rig
from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.evaluation.depth import (
    DepthScores,
    closed_by_volume,
    depth_errors,
    flat_ground_depth,
    sample_bilinear,
    visible_points,
)
from selfocc_core.transforms import transform_points


def test_errors_by_hand():
    errors = depth_errors(np.array([2.0, 10.0, 8.0]), np.array([4.0, 10.0, 4.0]))
    assert errors['abs_rel'] == pytest.approx((0.5 + 0 + 1.0) / 3)
    assert errors['sq_rel'] == pytest.approx((1 + 0 + 4) / 3)
    assert errors['rmse'] == pytest.approx(np.sqrt((4 + 0 + 16) / 3))
    assert errors['rmse_log'] == pytest.approx(np.sqrt(2 * np.log(2) ** 2 / 3))
    assert [errors[f'delta_{k}'] for k in (1, 2, 3)] == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_delta_grows_with_its_power():
    errors = depth_errors(np.array([1.0, 1.3, 1.6, 1.99]), np.ones(4))
    assert [errors[f'delta_{k}'] for k in (1, 2, 3)] == [0.25, 0.5, 0.75]


def test_nothing_met_counts_as_the_exit_from_the_volume():
    camera = rig()['front']
    k, level = camera.image_from_camera, round(camera.image_from_camera[1, 2])
    depth = np.full((36, 64), 7.0, np.float32)
    depth[level] = np.inf
    closed = closed_by_volume(depth, k, camera.ego_from_camera, GRID)
    center = round(k[0, 2])
    assert closed[level, center] == pytest.approx(25.6 - 1.7, abs=0.1)
    assert np.isfinite(closed).all()
    np.testing.assert_array_equal(closed[:level], 7.0)


def test_large_and_garbage_predictions_are_clamped():
    assert depth_errors(np.array([1e9]), np.array([40.0]))['abs_rel'] == 1.0
    assert np.isfinite(depth_errors(np.array([0.0, -3.0]), np.array([1.0, 1.0]))['rmse_log'])


@given(st.floats(0, 7), st.floats(0, 5))
def test_sampling_is_exact_on_a_plane(u, v):
    y, x = np.mgrid[:6, :8]
    depth = (3 + 2 * x + 5 * y).astype(np.float32)
    sampled = sample_bilinear(depth, np.array([[u, v]]))[0]
    assert sampled == pytest.approx(3 + 2 * u + 5 * v, abs=0.2)


def test_sampling_many_points_and_none():
    depth = np.array([[1, 2], [3, 80]], np.float32)
    assert sample_bilinear(depth, np.empty((0, 2))).shape == (0,)
    corners = np.tile([[0, 0], [1, 0], [0, 1], [1, 1], [-0.5, -0.5]], (20_000, 1))
    np.testing.assert_allclose(
        sample_bilinear(depth, corners), np.tile([1, 2, 3, 80, 1], 20_000), rtol=1e-5
    )


def test_only_valid_truth_within_the_image_counts():
    k = np.array([[10.0, 0, 4.5], [0, 10.0, 4.5], [0, 0, 1]])
    points = np.array([[0, 0, 5], [0, 0, 0.4], [0, 0, 81], [0, 0, -5], [5, 0, 5], [2.4, 0, 5.0]])
    kept, pixels = visible_points(points, k, (10, 10))
    np.testing.assert_array_equal(kept, points[[0, 5]])
    np.testing.assert_allclose(pixels, [[4.5, 4.5], [9.3, 4.5]])


@pytest.mark.parametrize('name', rig().names)
def test_the_baseline_knows_the_plane(name):
    camera = rig()[name]
    depth = plane_depth(camera)
    v, u = np.nonzero(np.isfinite(depth) & (depth < 12))
    rays = np.stack([u, v, np.ones(len(u))], 1) @ np.linalg.inv(camera.image_from_camera).T
    points = rays * depth[v, u, None]
    heights_m = transform_points(camera.ego_from_camera, points)[:, 2]
    np.testing.assert_allclose(heights_m, 0, atol=1e-5)
    guess = flat_ground_depth(points * 1.7, camera.ego_from_camera, GRID)
    np.testing.assert_allclose(guess, depth[v, u], rtol=1e-6)


def test_above_the_horizon_the_baseline_is_the_border_of_the_volume():
    camera = rig()['front']
    level = np.array([[0.0, 0.0, 30.0]])  # straight ahead
    assert flat_ground_depth(level, camera.ego_from_camera, GRID)[0] == pytest.approx(25.6 - 1.7)
    up = np.array([[0.0, -30.0, 30.0]])  # 45 degrees up: through the top of the volume
    assert flat_ground_depth(up, camera.ego_from_camera, GRID)[0] == pytest.approx(4.4 - 1.51)


def test_mean_over_images_then_over_cameras():
    scores, camera = DepthScores(GRID), rig()['front']
    k = camera.image_from_camera
    one, points = np.full((36, 64), 10.0, np.float32), np.array([[0.0, 0.0, 5.0]])
    for name, depth in (('front', 10.0), ('front', 5.0), ('back', 5.0)):
        scores.add(name, one * 0 + np.float32(depth), k, points, camera.ego_from_camera)
    summary = scores.summary()
    assert summary['abs_rel'] == pytest.approx((0.5 + 0.0) / 2)
    assert summary['by_camera']['front']['abs_rel'] == pytest.approx(0.5)
    assert summary['images'] == 3


def test_truth_beyond_the_volume_is_left_out_of_in_volume():
    scores, camera = DepthScores(GRID), rig()['front']
    points = np.array([[0.0, 0.0, 5.0], [0.0, 0.0, 50.0]])
    depth = np.full((36, 64), 5.0, np.float32)
    scores.add('front', depth, camera.image_from_camera, points, camera.ego_from_camera)
    summary = scores.summary()
    assert summary['in_volume']['abs_rel'] == pytest.approx(0.0)
    assert summary['abs_rel'] == pytest.approx(0.45)


def test_no_images_is_none():
    summary = DepthScores(GRID).summary()
    assert summary['abs_rel'] is None
    assert summary['in_volume']['rmse'] is None
