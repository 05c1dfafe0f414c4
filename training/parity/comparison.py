"""How far a computed array is from a recorded one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

FORWARD, GRADIENT = 1e-4, 1e-3
"""Tolerances of float32, relative to the largest value of the recorded array."""


class Comparison(NamedTuple):
    """One computed array beside the recorded one.

    Attributes:
        name: Key of the recorded array.
        relative_error: See ``relative_error``.
        tolerance: Largest error that counts as agreement.
    """

    name: str
    relative_error: float
    tolerance: float = FORWARD

    @property
    def agrees(self) -> bool:
        """Whether the error is a number within the tolerance."""
        return self.relative_error <= self.tolerance


def relative_error(actual: Tensor | NDArray[Any], expected: NDArray[Any]) -> float:
    """Return ``max |a - e| / max |e|``.

    Of an expected array of zeros it is ``max |a|``, of booleans and integers the share of values
    that differ. It is infinite if the shapes or the places of what is not finite differ.

    Args:
        actual: What was computed, of the same size; dimensions of 1 may differ.
        expected: What was recorded.
    """
    values = actual.detach().cpu().numpy() if isinstance(actual, Tensor) else np.asarray(actual)
    if np.squeeze(values).shape != np.squeeze(expected).shape:
        return float('inf')
    values = values.reshape(expected.shape)
    if expected.size == 0:
        return 0.0
    if expected.dtype.kind in 'biu':
        return float((values != expected).mean())
    return _float_error(values.astype(np.float64), expected.astype(np.float64))


def _float_error(values: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    finite = np.isfinite(expected)
    same_elsewhere = np.array_equal(values[~finite], expected[~finite], equal_nan=False)
    if not same_elsewhere or not np.isfinite(values[finite]).all():
        return float('inf')
    if not finite.any():
        return 0.0
    largest = np.abs(expected[finite]).max()
    error = np.abs(values[finite] - expected[finite]).max()
    return float(error / largest if largest > 0 else error)
