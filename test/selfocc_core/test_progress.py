from __future__ import annotations

import pytest

from selfocc_core import progress
from selfocc_core.progress import track


@pytest.fixture
def clock(monkeypatch):
    """A clock that people set."""

    class Clock:
        now_s = 0.0

        def monotonic(self):
            return self.now_s

    clock = Clock()
    monkeypatch.setattr(progress, 'time', clock)
    return clock


def printed(capsys, clock, items, step_s, total=None):
    for _ in track(items, 'Working', total):
        clock.now_s += step_s
    return capsys.readouterr().err.splitlines()


def test_a_log_tells_how_long_it_still_takes(capsys, clock):
    assert printed(capsys, clock, range(4), 6.0) == [
        'Working: 1/4 (6 s, 18 s left)',
        'Working: 2/4 (12 s, 12 s left)',
        'Working: 3/4 (18 s, 6 s left)',
        'Working: 4/4 (24 s)',
    ]


def test_long_times_are_minutes_and_hours(capsys, clock):
    assert printed(capsys, clock, range(100), 125.0)[1] == 'Working: 2/100 (4:10 min, 3:24 h left)'


def test_without_a_total_nobody_knows(capsys, clock):
    lines = printed(capsys, clock, iter(range(2)), 6.0)
    assert lines[:2] == ['Working: 1 (6 s)', 'Working: 2 (12 s)']


def test_quick_work_is_one_line(capsys, clock):
    assert printed(capsys, clock, range(100), 0.01) == ['Working: 100/100 (1 s)']
