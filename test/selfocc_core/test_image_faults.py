from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.image_faults import BLACK, SATURATED, FreezeWatch, exposure_fault


def image(level, noise=0, seed=0):
    generator = np.random.default_rng(seed)
    values = level + generator.integers(-noise, noise + 1, (24, 44, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ('level', 'noise', 'fault'),
    [(0, 0, BLACK), (3, 3, BLACK), (255, 0, SATURATED), (253, 3, SATURATED), (30, 20, None)],
)
def test_images_without_content_are_named(level, noise, fault):
    assert exposure_fault(image(level, noise)) == fault


def test_a_night_with_lamps_and_a_day_with_the_sun_can_be_used():
    night, day = image(2, 2), image(200, 30)
    night[3:6, 3:10] = 220
    day[:12] = 255
    assert exposure_fault(night) is None
    assert exposure_fault(day) is None


def test_a_pure_colour_is_neither_black_nor_saturated():
    red = np.zeros((24, 44, 3), np.uint8)
    red[..., 0] = 255
    assert exposure_fault(red) is None


def test_a_camera_is_frozen_after_so_many_equal_images_and_not_before():
    watch = FreezeWatch(3)
    same = image(100, 20)
    assert [watch.is_frozen(same.copy()) for _ in range(5)] == [False, False, False, True, True]
    assert not watch.is_frozen(image(100, 20, seed=1))
    assert not watch.is_frozen(image(100, 20, seed=2))


def test_one_pixel_that_changes_is_enough_to_be_alive():
    watch = FreezeWatch(1)
    same = image(100, 20)
    other = same.copy()
    other[5, 5, 1] += 1
    assert [watch.is_frozen(i) for i in (same, other, same, other)] == [False] * 4


def test_zero_never_looks():
    watch = FreezeWatch(0)
    assert not any(watch.is_frozen(image(7)) for _ in range(20))
