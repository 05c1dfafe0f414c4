from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selfocc_core.cameras import looking_along
from selfocc_core.depth import DepthImage
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.self_consistency import (
    PhotometricError,
    TemporalAgreement,
    View,
    dissimilarity,
)
from selfocc_core.transforms import invert, transform_from_quaternion
from selfocc_core.voxels import VoxelGrid, VoxelState

GRID = VoxelGrid((-40.0, -40.0, -2.0), (40.0, 40.0, 4.4), (20, 20, 8))
SMALL = VoxelGrid((-4.0, -4.0, -1.0), (4.0, 4.0, 1.0), (8, 8, 2))
HEIGHT, WIDTH = 60, 100
K = np.array([[80.0, 0, 49.5], [0, 80.0, 25.5], [0, 0, 1]])
CAMERA = looking_along(0.0, (1.5, 0.0, 1.5))
WALL_X = 9.0


def pixel_rays():
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T
    return rays @ CAMERA[:3, :3].T  # in the axes of the vehicle, one metre of depth


def world_depth(world_from_ego):
    """Depth of level ground and a wall across at x = 9 m of the world."""
    world_from_camera = world_from_ego @ CAMERA
    rays, origin = pixel_rays() @ world_from_ego[:3, :3].T, world_from_camera[:3, 3]
    with np.errstate(divide='ignore'):
        ground = np.where(rays[..., 2] < 0, -origin[2] / rays[..., 2], np.inf)
    return np.minimum(ground, (WALL_X - origin[0]) / rays[..., 0]), rays, origin


def texture(points):
    """A smooth pattern that is painted on the world."""
    x, y, z = np.moveaxis(points, -1, 0)
    waves = np.sin(1.9 * x + 0.3 * y), np.sin(2.3 * y + 1.1 * z), np.sin(1.7 * z + 0.9 * x + y)
    return np.stack(
        [127 + 60 * a + 50 * b for a, b in zip(waves, waves[1:] + waves[:1], strict=True)], -1
    )


def view_at(world_from_ego):
    depth_m, rays, origin = world_depth(world_from_ego)
    image = texture(origin + rays * depth_m[..., None]).round().astype(np.uint8)
    return View(image, K, CAMERA), depth_m.astype(np.float32)


START = transform_from_quaternion((0.0, 0.3, 0.0), (0, 0, 0.02, 1))
LATER = transform_from_quaternion((1.2, 0.4, 0.0), (0, 0, 0.05, 1))
MOTION = invert(LATER) @ START  # ego_at_source_from_ego_at_target


def errors_with(depth_m, motion=MOTION, k=K):
    target, _ = view_at(START)
    source, _ = view_at(LATER)
    scores = PhotometricError(GRID)
    scores.add('front', target, source, motion, DepthImage(depth_m, k))
    return scores.summary()


def test_right_depth_explains_the_next_image_and_guesses_do_not():
    _, depth_m = view_at(START)
    errors = errors_with(depth_m)
    assert errors['pairs'] == 1
    assert errors['model'] < 0.02
    # Flat ground is right below the wall, and wrong on it.
    assert 3 * errors['model'] < errors['flat_ground'] < errors['no_motion']
    assert errors['by_camera']['front']['model'] == errors['model']


@pytest.mark.parametrize('scale', [0.7, 0.85, 1.2, 1.5])
def test_wrong_scale_shows(scale):
    _, depth_m = view_at(START)
    assert errors_with(depth_m * np.float32(scale))['model'] > 3 * errors_with(depth_m)['model']


def test_a_motion_in_the_wrong_direction_shows():
    _, depth_m = view_at(START)
    assert errors_with(depth_m, invert(MOTION))['model'] > 0.1


def test_a_coarser_depth_image_does_as_well():
    """A lattice of half the size has its own intrinsics; pixel centres are at integers."""
    _, depth_m = view_at(START)
    coarse = depth_m.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3))
    half = np.diag([0.5, 0.5, 1.0])
    half[:2, 2] = -0.25
    assert errors_with(coarse, k=half @ K)['model'] < 0.03


def test_nothing_met_is_the_exit_from_the_volume():
    _, depth_m = view_at(START)
    open_m = np.where(depth_m > 7, np.inf, depth_m).astype(np.float32)
    errors = errors_with(open_m)
    assert np.isfinite(errors['model'])
    assert errors['model'] > errors_with(depth_m)['model']


def test_pixels_that_leave_the_image_and_pairs_without_any():
    """The vehicle turned about: the source shows something else."""
    _, depth_m = view_at(START)
    turned = transform_from_quaternion((0.0, 0.0, 0.0), (0, 0, 1, 0))
    errors = errors_with(depth_m, turned)
    assert (errors['pairs'], errors['model'], errors['flat_ground']) == (0, None, None)


def slow_dissimilarity(a, b):
    """0.15 |a - b| + 0.85 (1 - SSIM) / 2 of single pixels, windows reflected at the border."""
    height, width, _ = a.shape
    result = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            rows = [abs(row - 1), row, row + 1 if row + 1 < height else height - 2]
            columns = [abs(column - 1), column, column + 1 if column + 1 < width else width - 2]
            for color in range(3):
                p, q = (np.array([i[r, c, color] for r in rows for c in columns]) for i in (a, b))
                c1, c2 = 0.0001, 0.0009
                ssim = (2 * p.mean() * q.mean() + c1) * (
                    2 * np.mean((p - p.mean()) * (q - q.mean())) + c2
                )
                ssim /= (p.mean() ** 2 + q.mean() ** 2 + c1) * (p.var() + q.var() + c2)
                difference = abs(a[row, column, color] - b[row, column, color])
                result[row, column] += 0.15 * difference + 0.85 * min(max((1 - ssim) / 2, 0), 1)
    return result / 3


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_dissimilarity_by_a_slow_loop(seed):
    a, b = np.random.default_rng(seed).random((2, 6, 7, 3))
    np.testing.assert_allclose(dissimilarity(a, b), slow_dissimilarity(a, b), atol=1e-9)
    np.testing.assert_allclose(dissimilarity(a, a), 0, atol=1e-9)


states = arrays(np.uint8, SMALL.shape, elements=st.integers(0, 2))


@settings(max_examples=50)
@given(states, states, st.integers(-3, 3), st.integers(-3, 3))
def test_agreement_by_a_slow_loop(one, other, dx, dy):
    """The vehicle moved by whole voxels: one metre each."""
    moved = transform_from_quaternion((float(-dx), float(-dy), 0.0), (0, 0, 0, 1))
    scores = TemporalAgreement(SMALL)
    scores.add(one, other, moved)
    known = equal = both = either = 0
    for x, y, z in np.ndindex(SMALL.shape):
        if not (0 <= x - dx < 8 and 0 <= y - dy < 8):
            continue
        a, b = one[x, y, z], other[x - dx, y - dy, z]
        if VoxelState.UNKNOWN in {a, b}:
            continue
        known += 1
        equal += a == b
        both += a == b == VoxelState.OCCUPIED
        either += VoxelState.OCCUPIED in {a, b}
    summary = scores.summary()
    assert summary['agreement'] == (pytest.approx(equal / known) if known else None)
    assert summary['iou'] == (pytest.approx(both / either) if either else None)


def test_a_wall_that_stands_still_agrees_only_if_the_motion_counts():
    def seen_from(x_m):
        states = np.zeros(SMALL.shape, np.uint8)
        states[np.abs(SMALL.centers()[..., 0] + x_m - 3.5) < 0.1] = VoxelState.OCCUPIED
        states[:2] = VoxelState.UNKNOWN
        return states

    scores = TemporalAgreement(SMALL)
    forwards = transform_from_quaternion((-2.0, 0.0, 0.0), (0, 0, 0, 1))
    scores.add(seen_from(0.0), seen_from(2.0), forwards)
    assert scores.summary() == {
        'agreement': 1.0,
        'iou': 1.0,
        'without_motion': {'agreement': pytest.approx(4 / 6), 'iou': 0.0},
    }


def test_a_model_that_always_says_the_same_agrees_with_itself_only_without_motion():
    random = np.random.default_rng(0).integers(0, 2, SMALL.shape).astype(np.uint8)
    scores = TemporalAgreement(SMALL)
    scores.add(random, random, transform_from_quaternion((-1.0, 0.0, 0.0), (0, 0, 0, 1)))
    assert scores.summary()['without_motion'] == {'agreement': 1.0, 'iou': 1.0}
    assert scores.summary()['agreement'] < 0.7


def test_states_of_another_grid_are_refused():
    with pytest.raises(SelfOccError, match='are not of the grid'):
        TemporalAgreement(SMALL).add(
            np.zeros((2, 2, 2), np.uint8), np.zeros(SMALL.shape, np.uint8), np.eye(4)
        )
