"""Learning rates and sharpness of the steps."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from training.config import OptimizerConfig
from training.presets import PRESETS
from training.schedules import learning_rate_at, sharpness_at

STEP = OptimizerConfig(
    steps=1000, learning_rate=1e-3, schedule='step', drop_at=700, warm_up=100,
    first_learning_rate=1e-6,
)  # fmt: skip
COSINE = replace(STEP, schedule='cosine', final_learning_rate=1e-5)


def test_warm_up_is_linear_from_the_first_learning_rate():
    rates = [learning_rate_at(step, STEP) for step in range(102)]
    assert rates[0] == pytest.approx(1e-6)
    assert rates[50] == pytest.approx((1e-6 + 1e-3) / 2)
    assert rates[100] == rates[101] == pytest.approx(1e-3)


def test_the_step_schedule_drops_once_by_ten():
    rates = [learning_rate_at(step, STEP) for step in (699, 700, 999)]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-4])


def test_the_cosine_schedule_ends_at_the_final_learning_rate():
    half = 1e-5 + 0.5 * (1e-3 - 1e-5)
    assert learning_rate_at(500, COSINE) == pytest.approx(half)
    assert learning_rate_at(1000, COSINE) == pytest.approx(1e-5)
    assert learning_rate_at(1200, COSINE) == pytest.approx(1e-5)


def test_no_warm_up_starts_at_the_peak():
    assert learning_rate_at(0, replace(STEP, warm_up=0)) == pytest.approx(1e-3)


def test_the_shipped_model_has_the_schedule_that_it_was_trained_with():
    config = PRESETS['selfocc-tiny'].optimizer
    for step in (0, 1, 20, 49, 50, 51, 3000, 5999):
        cosine = 0.5 * (1 + math.cos(math.pi * step / 6000))
        expected = 2e-3 * min(1, 0.01 + 0.99 * step / 49) * (0.01 + 0.99 * cosine)
        assert learning_rate_at(step, config) == pytest.approx(expected, rel=1e-9)


def test_sharpness_grows_between_the_values_of_the_preset():
    render = PRESETS['selfocc-tiny'].render
    assert sharpness_at(0, 2800, render) == pytest.approx(3)
    assert sharpness_at(2799, 2800, render) == pytest.approx(40)
    middle = sharpness_at(1400, 2801, render)
    assert middle == pytest.approx(math.sqrt(3 * 40))
