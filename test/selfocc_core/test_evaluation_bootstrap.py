from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfocc_core.evaluation.accumulation import Accumulator, ratio
from selfocc_core.evaluation.bootstrap import block_weights, confidence_intervals
from selfocc_core.evaluation.occupancy import OccupancyScores, OccupancyTruth
from selfocc_core.voxels import VoxelGrid

SECOND = 10**9


class Mean(Accumulator):
    """The mean of one number a frame."""

    settings = None

    def add(self, frame, value):
        self.statistics.add(frame, 'sum', [1.0, value])

    def summary_of(self, totals):
        count, total = totals.get('sum', np.zeros(2))
        return {
            'frames': round(float(count)),
            'mean': ratio(total, count),
            'nested': {'none': None},
        }


def mean_of(values, drive='drive', spacing_s=1.0):
    scores = Mean()
    for number, value in enumerate(values):
        scores.add((drive, int(number * spacing_s * SECOND)), value)
    return scores


def frames_of(*lengths):
    return tuple(
        (f'drive {d}', n * SECOND) for d, length in enumerate(lengths) for n in range(length)
    )


@settings(max_examples=40)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.integers(1, 8), st.integers(0, 99))
def test_as_many_frames_are_drawn_as_there_are(lengths, block, seed):
    frames = frames_of(*lengths)
    weights = block_weights(frames, float(block), 20, seed)
    if weights is not None:
        assert (weights.sum(1) == len(frames)).all()
        assert (weights >= 0).all()


def test_every_frame_is_drawn_equally_often():
    """Short drives, long drives, first and last frames."""
    weights = block_weights(frames_of(3, 40, 11), 5.0, 20_000, 1)
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.06)


def test_blocks_are_successive_frames_of_one_drive():
    frames = frames_of(20, 20)
    for row in block_weights(frames, 10.0, 50, 3):
        for drive in (row[:20], row[20:]):
            # Where the weight changes a block starts or ends: there are four blocks at most.
            assert np.count_nonzero(np.diff(drive, append=drive[0])) <= 8


def test_neighbours_that_are_alike_widen_the_interval():
    """Ten streets of ten seconds at ten frames a second: 1000 frames are worth ten."""
    streets = np.random.default_rng(0).normal(size=10)
    scores = mean_of(np.repeat(streets, 100), spacing_s=0.1)
    (low, high) = confidence_intervals(scores, block_s=10.0)['mean']
    (naive_low, naive_high) = confidence_intervals(scores, block_s=0.1)['mean']
    honest = 2 * 1.96 * streets.std() / np.sqrt(10)
    assert 0.6 * honest < high - low < 1.2 * honest
    assert naive_high - naive_low < 0.2 * honest
    assert low < streets.mean() < high


@pytest.mark.slow
def test_the_true_mean_lies_in_about_95_percent_of_the_intervals():
    random, inside = np.random.default_rng(7), 0
    for seed in range(200):
        noise = random.normal(size=304)
        values = np.convolve(noise, np.ones(5), 'valid')  # each alike its four neighbours
        low, high = confidence_intervals(mean_of(values), 15.0, 200, seed=seed)['mean']
        inside += low <= 0 <= high
    assert 0.86 <= inside / 200 <= 0.98


def test_the_interval_is_that_of_a_slow_computation():
    scores, values = mean_of(range(30)), np.arange(30)
    weights = block_weights(scores.statistics.frames, 5.0, 300, 11)
    means = sorted(float(np.mean(np.repeat(values, row.astype(int)))) for row in weights)
    low, high = confidence_intervals(scores, 5.0, 300, seed=11)['mean']
    assert low == pytest.approx(np.quantile(means, 0.025))
    assert high == pytest.approx(np.quantile(means, 0.975))


def test_the_seed_decides():
    scores = mean_of(np.random.default_rng(1).normal(size=60))
    one, again, other = (confidence_intervals(scores, resamples=50, seed=s) for s in (1, 1, 2))
    assert one == again != other
    assert list(one) == ['mean', 'nested']  # counts have no interval
    assert one['nested'] == {'none': None}


def test_one_block_tells_nothing_of_the_spread():
    assert confidence_intervals(mean_of([0.0, 1.0, 0.5]))['mean'] is None
    assert confidence_intervals(Mean())['mean'] is None
    two = mean_of([0.0, 1.0, 0.5]).merge(mean_of([0.9, 0.8, 1.0], 'another'))
    assert confidence_intervals(two)['mean'] == pytest.approx([0.5, 0.9], abs=1e-9)


def test_drawing_frames_again_is_exactly_scoring_them_again():
    grid = VoxelGrid((-4.0, -4.0, -1.0), (4.0, 4.0, 1.0), (8, 8, 2))
    random = np.random.default_rng(5)
    moments = [random.random((3, *grid.shape)) < 0.5 for _ in range(3)]
    repeats = [3, 0, 2]

    def scores_of(chosen):
        scores = OccupancyScores(grid)
        for predicted, true, visible in chosen:
            scores.add(predicted, OccupancyTruth(true, visible, np.zeros(grid.shape, bool)))
        return scores

    repeated = scores_of([m for m, n in zip(moments, repeats, strict=True) for _ in range(n)])
    once = scores_of(moments)
    totals = {
        name: np.tensordot(repeats, table, 1) for name, table in once.statistics.by_name().items()
    }
    assert once.summary_of(totals) == repeated.summary()
