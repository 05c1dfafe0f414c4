from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from handmade_drive import GRID, rig
from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.cameras import Camera, intrinsic_matrix
from selfocc_core.evaluation.depth import DepthErrors, DepthScores, depth_errors
from selfocc_core.evaluation.depth_protocol import (
    DEPTH_PROTOCOLS,
    KITTI,
    KITTI_EIGEN,
    METRIC,
    NUSCENES,
    NUSCENES_1M,
    DepthProtocol,
)

depths = st.lists(st.floats(0.2, 90), min_size=1, max_size=12)


def kitti_camera(width=1242, height=375):
    return Camera(
        'left', 'left', width, height, intrinsic_matrix(721.5, 721.5, 609.6, 172.9), np.eye(4)
    )


@pytest.mark.parametrize(
    ('crop', 'size', 'expected'),
    [
        ('garg', (1242, 375), (153, 371, 44, 1197)),
        ('garg', (1224, 370), (151, 366, 43, 1180)),
        ('eigen', (1242, 375), (124, 342, 44, 1197)),
        ('eigen', (1224, 370), (122, 337, 43, 1180)),
        ('none', (1242, 375), (0, 375, 0, 1242)),
    ],
)
def test_crops_of_kitti(crop, size, expected):
    """First row, end, first column, end, as 0.408 of 375 rows and so on by hand."""
    (width, height), (top, bottom, left, right) = size, expected
    v, u = np.mgrid[-2 : height + 2, -2 : width + 2]
    pixels = np.stack([u.ravel(), v.ravel()], 1).astype(float)
    inside = replace(KITTI, crop=crop).in_crop(pixels, width, height)
    kept = pixels[inside]
    assert (kept[:, 1].min(), kept[:, 1].max() + 1) == (top, bottom)
    assert (kept[:, 0].min(), kept[:, 0].max() + 1) == (left, right)
    assert inside.sum() == (bottom - top) * (right - left)


def test_points_are_cropped_where_the_camera_sees_them():
    camera = kitti_camera()
    points = np.array([[0, 0, 10.0], [0, 2.0, 10], [0, -1.0, 10], [0, 2.0, 0.05], [0, 20.0, 100]])
    # The horizon is at row 173, inside; 2 m lower at row 317; 1 m higher at row 101, outside.
    np.testing.assert_array_equal(KITTI.counted(points, camera), points[:2])
    np.testing.assert_array_equal(NUSCENES.counted(points, camera), points[:3])


def median(values):
    ordered = sorted(values)
    return (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2


@given(depths, st.randoms(), st.booleans())
def test_errors_by_a_slow_loop(true, random, scaled):
    """The formulas of Eigen et al. 2014 with a loop over the points."""
    predicted = [random.uniform(0.01, 150) for _ in true]
    protocol = KITTI_EIGEN if scaled else KITTI
    errors = depth_errors(np.array(predicted), np.array(true), protocol)
    scale = median(true) / median(predicted) if scaled else 1.0
    sums, relatives = [0.0] * 7, []
    for p, t in zip(predicted, true, strict=True):
        d = min(max(p * scale, 0.001), 80.0)
        relatives.append(abs(d - t) / t)
        ratio = d / t if d > t else t / d
        terms = relatives[-1], (d - t) ** 2 / t, (d - t) ** 2, (np.log(d) - np.log(t)) ** 2
        sums = [
            total + term
            for total, term in zip(
                sums, (*terms, ratio < 1.25, ratio < 1.5625, ratio < 1.953125), strict=True
            )
        ]
    means = [total / len(true) for total in sums]
    means[2], means[3] = means[2] ** 0.5, means[3] ** 0.5
    assert list(errors.values())[:7] == pytest.approx(means)
    assert errors['median_rel'] == pytest.approx(median(relatives))


@given(depths, st.floats(0.01, 100))
def test_scaled_errors_do_not_see_the_scale(true, scale):
    true = np.array(true)
    predicted = true * np.linspace(0.5, 1.5, len(true))
    one, other = (
        depth_errors(p, true, replace(KITTI_EIGEN, largest_prediction_m=1e9))
        for p in (predicted, predicted * scale)
    )
    for name in ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'median_rel'):  # deltas may jump
        assert one[name] == pytest.approx(other[name], abs=1e-9)
    assert depth_errors(true * scale, true, KITTI_EIGEN)['abs_rel'] == pytest.approx(
        np.mean(np.maximum(true - 80, 0) / true), abs=1e-9
    )


def test_garbage_is_not_scaled_up():
    zeros = depth_errors(np.zeros(3), np.full(3, 10.0), KITTI_EIGEN)
    assert all(np.isfinite(list(zeros.values())))


def test_names_say_what_is_done():
    assert all(name == protocol.name for name, protocol in DEPTH_PROTOCOLS.items())
    assert len(set(DEPTH_PROTOCOLS.values())) == len(DEPTH_PROTOCOLS) == 9
    assert METRIC.scaled() == replace(METRIC, name='metric_scaled', median_scaling=True)
    assert (NUSCENES.nearest_m, NUSCENES_1M.nearest_m, KITTI.crop) == (0.1, 1.0, 'garg')


def test_ranges_groups_and_cameras_by_hand():
    scores = DepthErrors(METRIC, ranges_m=((0.0, 10.0), (10.0, 80.0)))
    true = np.array([5.0, 8.0, 20.0])
    scores.add('front', np.array([10.0, 8.0, 20.0]), true, {'cars': true > 7})
    scores.add('front', np.array([5.0, 8.0, 10.0]), true, {'cars': true > 7})
    scores.add('back', np.array([3.0]), np.array([3.0]), {'cars': np.array([False])})
    scores.add('back', np.empty(0), np.empty(0))  # an image without a true point
    summary = scores.summary()
    assert summary['images'] == 4
    # front: (1/3 + 0.5/3) / 2 = 0.25; back: 0.
    assert summary['abs_rel'] == pytest.approx(0.125)
    assert summary['by_camera']['front']['abs_rel'] == pytest.approx(0.25)
    assert summary['by_range']['0-10 m']['abs_rel'] == pytest.approx(((0.5 + 0) / 2 + 0) / 2)
    # Only the front camera has points that far, or cars.
    assert summary['by_range']['10-80 m']['abs_rel'] == pytest.approx((0 + 0.5) / 2)
    assert summary['by_group']['cars']['abs_rel'] == pytest.approx((0 + 0.25) / 2)


def test_an_image_is_scaled_as_a_whole_not_by_range():
    scores = DepthErrors(METRIC.scaled())
    true = np.array([5.0, 15.0, 30.0])
    scores.add('front', np.array([5.0, 7.5, 15.0]), true)  # twice as large after scaling
    by_range = scores.summary()['by_range']
    assert by_range['0-10 m']['abs_rel'] == pytest.approx(1.0)
    assert by_range['10-20 m']['abs_rel'] == by_range['20-40 m']['abs_rel'] == pytest.approx(0.0)


def test_scores_of_two_processes_and_another_protocol():
    camera = rig()['front']
    k, points = camera.image_from_camera, np.array([[0.0, 0.0, 0.3], [0.0, 0.0, 20.0]])
    depth = np.full((36, 64), 10.0, np.float32)
    whole, one, other = (DepthScores(GRID, NUSCENES) for _ in range(3))
    for scores in (whole, one):
        scores.add('front', depth, k, points[:1], camera.ego_from_camera, ('drive', 1))
    for scores in (whole, other):
        scores.add('front', depth, k, points[1:], camera.ego_from_camera, ('drive', 2))
    assert one.merge(other).summary() == whole.summary()
    assert whole.summary()['images'] == 2
    assert whole.summary()['abs_rel'] == pytest.approx((9.7 / 0.3 + 0.5) / 2)
    assert whole.summary('flat_ground')['abs_rel'] is not None


def test_protocols_are_values():
    assert replace(KITTI, name='x') == DepthProtocol('x', KITTI.source, 0.1, 80.0, 'garg')
