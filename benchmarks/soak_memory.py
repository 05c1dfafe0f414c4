"""Memory and threads of a process over the length of a drive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.node_processes import Usage
from benchmarks.soak_drive import SETS_PER_MINUTE

# Allocators and shared memory fill up until every part of them has been touched once.
_WARM_UP_SHARE = 0.2


@dataclass(frozen=True)
class Sample:
    """What the process used after a number of frame sets."""

    sets: int
    usage: Usage


@dataclass(frozen=True)
class Slope:
    """A straight line through memory over time, by least squares.

    Attributes:
        kb_per_minute: Its slope, per minute of the drive.
        standard_error: Of that slope, as if the samples were independent.
    """

    kb_per_minute: float
    standard_error: float

    @property
    def kb_per_1000_sets(self) -> float:
        """The slope per 1000 frame sets."""
        return self.kb_per_minute * 1000 / SETS_PER_MINUTE


def after_warm_up(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples that count: those after the first fifth of the drive."""
    return [s for s in samples if s.sets >= _WARM_UP_SHARE * samples[-1].sets]


def slope_of(sets: Sequence[int], memory_kb: Sequence[int]) -> Slope:
    """Return the slope of memory over frame sets; not-a-number for fewer than three samples."""
    if len(sets) < 3:
        return Slope(float('nan'), float('nan'))
    minutes = np.asarray(sets, np.float64) / SETS_PER_MINUTE
    centered = minutes - minutes.mean()
    spread = float(centered @ centered)
    slope = float(centered @ np.asarray(memory_kb, np.float64)) / spread
    residual = np.asarray(memory_kb) - np.mean(memory_kb) - slope * centered
    variance = float(residual @ residual) / (len(sets) - 2)
    return Slope(slope, float(np.sqrt(variance / spread)))
