"""What every score is made of: numbers of single frames that are summed before a ratio is taken.

Because the numbers are kept by frame, the same scores come out of any order and any number of
processes, and frames can be resampled afterwards to say how far a score can be trusted (see
``selfocc_core.evaluation.bootstrap``).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from selfocc_core.errors import SelfOccError

Frame = tuple[str, int]
"""A drive and a stamp in it, in nanoseconds."""

Numbers = NDArray[np.float64]
Summary = dict[str, Any]


class FrameStatistics:
    """Numbers by frame and name.

    A frame counts once. Samplers of several processes repeat frames so that all get equally many;
    here the repetition changes nothing.
    """

    def __init__(self) -> None:
        self._rows: dict[Frame, dict[str, Numbers]] = {}

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames by drive and time."""
        return tuple(sorted(self._rows))

    def next_frame(self) -> Frame:
        """Return a name for a frame that has none: its number."""
        return '', len(self._rows)

    def add(self, frame: Frame, name: str, numbers: ArrayLike) -> None:
        """Keep the numbers ``[K]`` that a frame has under a name.

        Raises:
            SelfOccError: It has others already.
        """
        new = np.asarray(numbers, np.float64)
        old = self._rows.setdefault(frame, {}).setdefault(name, new)
        if not np.array_equal(old, new, equal_nan=True):
            raise SelfOccError(
                f'frame {frame[1]} of drive "{frame[0]}" was scored twice with different results '
                f'({name}): give every frame its own drive and stamp'
            )

    def merge(self, other: FrameStatistics) -> FrameStatistics:
        """Return the frames of both.

        Raises:
            SelfOccError: They disagree about a frame.
        """
        merged = FrameStatistics()
        for rows in (self._rows, other._rows):
            for frame, of_frame in rows.items():
                for name, numbers in of_frame.items():
                    merged.add(frame, name, numbers)
        return merged

    def by_name(self) -> dict[str, Numbers]:
        """Return the numbers of all frames ``[F, K]`` by name; zeros where a frame has none."""
        frames = self.frames
        names = sorted({name for row in self._rows.values() for name in row})
        tables: dict[str, Numbers] = {}
        for index, frame in enumerate(frames):
            for name, numbers in self._rows[frame].items():
                if name not in tables:
                    tables[name] = np.zeros((len(frames), *numbers.shape))
                tables[name][index] = numbers
        return {name: tables[name] for name in names}

    def totals(self) -> dict[str, Numbers]:
        """Return the sum ``[K]`` over the frames by name."""
        # In order of the frames: sums of floats depend on it.
        return {name: table.sum(0) for name, table in self.by_name().items()}


class Accumulator(ABC):
    """Scores of many frames: a metric says what it keeps of one and what follows from the sums."""

    def __init__(self) -> None:
        self.statistics = FrameStatistics()

    @property
    @abstractmethod
    def settings(self) -> object:
        """What two accumulators must share to be merged."""

    @abstractmethod
    def summary_of(self, totals: Mapping[str, Numbers]) -> Summary:
        """Return the scores that follow from sums over frames, by name."""

    def summary(self) -> Summary:
        """Return the scores of all frames so far; ``None`` stands where nothing was scored."""
        return self.summary_of(self.statistics.totals())

    def merge(self, other: Self) -> Self:
        """Return the scores of the frames of both, each counted once; neither is changed.

        Raises:
            SelfOccError: The two score differently, or disagree about a frame.
        """
        if type(self) is not type(other) or self.settings != other.settings:
            raise SelfOccError(
                f'scores of different protocols cannot be merged: {type(self).__name__} '
                f'{self.settings} and {type(other).__name__} {other.settings}'
            )
        merged = copy.copy(self)
        merged.statistics = self.statistics.merge(other.statistics)
        return merged

    def _frame(self, frame: Frame | None) -> Frame:
        return self.statistics.next_frame() if frame is None else frame


def ratio(part: float, whole: float) -> float | None:
    """Return ``part / whole``; ``None`` without a whole."""
    return float(part / whole) if whole else None


def mean(values: list[float | None]) -> float | None:
    """Return the mean of the values that are known; ``None`` if none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
