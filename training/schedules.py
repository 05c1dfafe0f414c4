"""What changes from step to step: learning rate and sharpness."""

from __future__ import annotations

import math

from training.config import OptimizerConfig, RenderConfig


def learning_rate_at(step: int, config: OptimizerConfig) -> float:
    """Return the learning rate of a step (method section 5): linear warm-up times schedule.

    With the peak ``p`` and the first learning rate ``f``, the warm-up is
    ``min(1, f/p + (1 - f/p) step/warm_up)``. The schedule is ``p``, from ``drop_at`` on ``p/10``,
    or a half cosine from ``p`` to the final learning rate.
    """
    peak, first = config.learning_rate, config.first_learning_rate / config.learning_rate
    warm_up = min(1.0, first + (1 - first) * step / config.warm_up) if config.warm_up else 1.0
    if config.schedule == 'step':
        return warm_up * peak * (0.1 if step >= config.drop_at else 1.0)
    half_cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
    final = config.final_learning_rate
    return warm_up * (final + (peak - final) * half_cosine)


def sharpness_at(step: int, steps: int, config: RenderConfig) -> float:
    """Return ``inv_s`` of a step; blurry at first, so that distant errors are felt."""
    fraction = min(1.0, step / max(1, steps - 1))
    growth = config.sharpness_end / config.sharpness_start
    return config.sharpness_start * math.pow(growth, fraction)
