"""Which step of int8 suits a tensor, from what values it took.

The largest value alone would spend the few steps there are on outliers. The step is the one with
the least mean squared error: of rounding within the range, of clipping beyond it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BINS = 2048
_STEPS = 127
_SHARES = np.linspace(0.1, 1.0, 91)  # of the largest value, where the range may end


class ActivationHistogram:
    """Counts of the magnitudes of a tensor's values."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS)
        self._limit = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Count the values of one run; zeros, which every step represents, do not count."""
        magnitudes = np.abs(values[values != 0]).astype(np.float64)
        largest = float(magnitudes.max(initial=0.0))
        if largest > self._limit:
            self._widen(largest)
        if self._limit > 0:
            self._counts += np.histogram(magnitudes, _BINS, (0.0, self._limit))[0]

    def scale(self) -> float:
        """Return the value of one step; 1 of a tensor that is always zero."""
        if self._limit == 0:
            return 1.0
        centers = (np.arange(_BINS) + 0.5) * (self._limit / _BINS)
        scales = [float(share) * self._limit / _STEPS for share in _SHARES]
        return min(scales, key=lambda scale: self._squared_error(centers, scale))

    def _squared_error(self, centers: NDArray[Any], scale: float) -> float:
        steps = np.clip(np.round(centers / scale), 0, _STEPS)
        return float((self._counts * (centers - steps * scale) ** 2).sum())

    def _widen(self, limit: float) -> None:
        """Let the bins reach further; what was counted moves to the bins of its centers."""
        if self._limit > 0:
            centers = (np.arange(_BINS) + 0.5) * (self._limit / _BINS)
            self._counts = np.histogram(centers, _BINS, (0.0, limit), weights=self._counts)[0]
        self._limit = limit
