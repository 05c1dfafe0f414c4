from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from selfocc_core.errors import SelfOccError
from training.benchmark.splits import SPLITS, parse_seeds, split_of, worlds_by_split

MAKEFILE = Path(__file__).parents[3] / 'Makefile'


def test_no_world_is_in_two_splits():
    assert set(SPLITS) == {'train', 'validation', 'test'}
    for one, other in combinations(SPLITS.values(), 2):
        assert not set(one) & set(other)


def test_the_training_worlds_are_those_of_the_shipped_model():
    seeds = SPLITS['train']
    assert f'$(shell seq {seeds[0]} {seeds[-1]})' in MAKEFILE.read_text(encoding='utf-8')


def test_seeds_are_named_by_split_number_or_range():
    assert parse_seeds('test') == tuple(SPLITS['test'])
    assert parse_seeds('1,2,3') == (1, 2, 3)
    assert parse_seeds('7, 10-12') == (7, 10, 11, 12)


@pytest.mark.parametrize('text', ['', 'tests', '1,,2', '-1', '5-3', '1,2,1', '0-1000', '1.5'])
def test_other_seeds_are_refused(text):
    with pytest.raises(SelfOccError):
        parse_seeds(text)


def test_it_is_told_which_splits_were_used():
    assert split_of(3000) == 'test'
    assert split_of(7) == 'none'
    assert worlds_by_split([3000, 3001, 2000, 7]) == {'none': 1, 'test': 2, 'validation': 1}
