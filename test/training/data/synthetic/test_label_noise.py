from __future__ import annotations

import numpy as np
import pytest

from selfocc_core.errors import SelfOccError
from selfocc_core.semantics import CLASS_NAMES
from training.data.synthetic.label_noise import CONFUSABLE, LabelNoise


def street() -> np.ndarray:
    """Sky, a building beside the sky, road, and 24 vehicles."""
    labels = np.zeros((120, 160), np.uint8)
    labels[40:80] = CLASS_NAMES.index('building')
    labels[80:] = CLASS_NAMES.index('road')
    for row in (85, 95, 105):
        for column in range(5, 160, 20):
            labels[row : row + 6, column : column + 10] = CLASS_NAMES.index('vehicle')
    return labels


def noisy(noise, seed=0):
    return noise.apply(street(), np.random.default_rng(seed))


def test_without_noise_nothing_changes():
    np.testing.assert_array_equal(noisy(LabelNoise(0.0, 0.0)), street())


def test_the_same_seed_gives_the_same_errors():
    noise = LabelNoise(0.3, 1.0)
    np.testing.assert_array_equal(noisy(noise), noisy(noise))
    assert (noisy(noise) != noisy(noise, seed=1)).any()


def test_segments_flip_as_a_whole_to_what_they_could_be_taken_for():
    vehicle = CLASS_NAMES.index('vehicle')
    flipped, total = 0, 0
    for seed in range(20):
        found = noisy(LabelNoise(0.25, 0.0), seed)
        for row in (85, 95, 105):
            for column in range(5, 160, 20):
                (label,) = np.unique(found[row : row + 6, column : column + 10])
                assert label in {vehicle, *map(CLASS_NAMES.index, CONFUSABLE['vehicle'])}
                flipped, total = flipped + (label != vehicle), total + 1
    assert 0.2 < flipped / total < 0.3


def test_edges_move_a_little_and_the_inside_stays():
    jittered = noisy(LabelNoise(0.0, 1.0))
    changed = jittered != street()
    assert 0.005 < changed.mean() < 0.1
    assert not changed[:30].any()  # far from any edge
    assert not changed[50:70].any()
    rows = np.flatnonzero(changed.any(1))
    assert rows.min() >= 34


def test_every_class_but_the_sky_is_mistaken_for_another():
    assert set(CONFUSABLE) == set(CLASS_NAMES[1:])
    for name, others in CONFUSABLE.items():
        assert others
        assert set(others) <= set(CLASS_NAMES[1:]) - {name}


@pytest.mark.parametrize('values', [(-0.1, 1), (1.1, 1), (0.1, -1), (0.1, 1e6)])
def test_noise_that_makes_no_sense(values):
    with pytest.raises(SelfOccError, match='choose 0 to'):
        LabelNoise(*values)
