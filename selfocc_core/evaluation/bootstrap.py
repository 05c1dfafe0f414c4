"""How far a score can be trusted: intervals from resampled frames.

Neighbouring frames show the same street, so that drawing single frames would promise far too
much. Drawn are blocks of successive frames: the moving block bootstrap of Künsch 1989 ("The
jackknife and the bootstrap for general stationary observations", Annals of Statistics 17),
circular within each drive (Politis and Romano 1992) so that every frame is drawn equally often.
The interval is that of the percentiles (Efron and Tibshirani 1993, section 13.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.evaluation.accumulation import Accumulator, Frame, Summary

BLOCK_S = 5.0
RESAMPLES = 1000
LEVEL = 0.95

_SHARE_DEFINED = 0.5


def confidence_intervals(
    scores: Accumulator,
    block_s: float = BLOCK_S,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Summary:
    """Return the interval of every score, shaped as ``scores.summary()``.

    Args:
        scores: What was accumulated.
        block_s: Length of a block in seconds of drive; a shorter drive is one block.
        resamples: How often the frames are drawn anew.
        level: Share of the resampled scores that lies in the interval.
        seed: Seed of the drawing; equal frames and seeds draw the same.

    Returns:
        ``[low, high]`` in place of each number; ``None`` where there is no score, or where less
        than two blocks of frames say nothing of the spread. Counts are left out.
    """
    summary, tables = scores.summary(), scores.statistics.by_name()
    weights = block_weights(scores.statistics.frames, block_s, resamples, seed)
    if weights is None:
        return _mapped(summary, lambda _: None)
    sums = {
        name: (weights @ table.reshape(len(table), -1)).reshape(resamples, *table.shape[1:])
        for name, table in tables.items()
    }
    drawn = [
        scores.summary_of({name: of_name[index] for name, of_name in sums.items()})
        for index in range(resamples)
    ]
    return _intervals(summary, drawn, 50 * (1 - level))


def block_weights(
    frames: Sequence[Frame], block_s: float, resamples: int, seed: int
) -> NDArray[np.float64] | None:
    """Return how often each frame is drawn ``[resamples, F]``; ``None`` for less than two blocks.

    Args:
        frames: Drive and stamp of each frame, sorted.
        block_s: Length of a block in seconds.
        resamples: How often to draw ``F`` frames.
        seed: Seed of the drawing.
    """
    first, count, length = _drives(frames, block_s)
    total = len(frames)
    if total == 0 or np.sum(1 / length) < 2 - 1e-9:
        return None
    # A start brings as many frames as its block is long: this way all are drawn equally often.
    chance = (1 / length) / np.sum(1 / length)
    random = np.random.default_rng(seed)
    weights = np.zeros((resamples, total))
    for row in weights:
        starts = random.choice(total, size=-(-total // int(length.min())), p=chance)
        lengths = length[starts]
        starts = np.repeat(starts, lengths)[:total]
        ahead = np.concatenate([np.arange(n) for n in lengths])[:total]
        drawn = first[starts] + (starts - first[starts] + ahead) % count[starts]
        np.add.at(row, drawn, 1.0)
    return weights


def _drives(frames: Sequence[Frame], block_s: float) -> tuple[NDArray[np.int64], ...]:
    """Return first frame and number of frames of each frame's drive, and length of its blocks."""
    rows: list[tuple[int, int, int]] = []
    for _, group in groupby(frames, key=lambda frame: frame[0]):
        stamps_ns = [stamp_ns for _, stamp_ns in group]
        count, first = len(stamps_ns), len(rows)
        spacing_ns = (stamps_ns[-1] - stamps_ns[0]) / max(count - 1, 1)
        length = round(block_s * 1e9 / spacing_ns) if spacing_ns else 1
        rows += [(first, count, min(max(length, 1), count))] * count
    return tuple(np.array(rows, np.int64).reshape(-1, 3).T)


def _mapped(scores: Mapping[str, Any], change: Callable[[float | None], object]) -> Summary:
    """Return the tree of scores with every score changed, without counts."""
    return {
        name: _mapped(value, change) if isinstance(value, Mapping) else change(value)
        for name, value in scores.items()
        if not isinstance(value, (int, str))
    }


def _intervals(
    summary: Mapping[str, Any], drawn: Sequence[Mapping[str, Any]], tail_percent: float
) -> Summary:
    return {
        name: _intervals(value, [one[name] for one in drawn], tail_percent)
        if isinstance(value, Mapping)
        else _interval(value, [one[name] for one in drawn], tail_percent)
        for name, value in summary.items()
        if not isinstance(value, (int, str))
    }


def _interval(
    value: float | None, drawn: Sequence[float | None], tail_percent: float
) -> list[float] | None:
    known = [one for one in drawn if one is not None]
    if value is None or len(known) < _SHARE_DEFINED * len(drawn):
        return None
    low, high = np.percentile(known, [tail_percent, 100 - tail_percent])
    return [float(low), float(high)]
