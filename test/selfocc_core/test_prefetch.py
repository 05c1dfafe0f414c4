from __future__ import annotations

import threading

import pytest

from selfocc_core.prefetch import prefetched


def test_all_items_come_in_order():
    assert list(prefetched(iter(range(100)), 3)) == list(range(100))
    assert list(prefetched(iter(()), 1)) == []


def test_no_more_is_made_ahead_than_allowed():
    made = []

    def items():
        for index in range(50):
            made.append(index)
            yield index

    begun = prefetched(items(), 2)
    assert next(begun) == 0
    for _ in range(20):
        threading.Event().wait(0.005)
    assert len(made) <= 1 + 2 + 1  # taken, in the queue, in the hand
    begun.close()
    assert len(made) <= 1 + 2 + 2


def test_an_error_comes_where_it_happened():
    def items():
        yield 1
        raise ValueError('broken')

    got = prefetched(items(), 5)
    assert next(got) == 1
    with pytest.raises(ValueError, match='broken'):
        next(got)


@pytest.mark.parametrize('ahead', [1, 4])
def test_who_stops_early_leaves_no_thread_and_closes_the_source(ahead):
    closed = []

    def items():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    before = threading.active_count()
    got = prefetched(items(), ahead)
    next(got)
    got.close()
    assert closed == [True]
    assert threading.active_count() == before
