from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.clock_consensus import ClockConsensus, Verdict

MS = 1_000_000
SKEW_MS = 500


class Clocks:
    """A consensus that is told what the clocks show, in ms."""

    def __init__(self, cameras=3):
        self.consensus = ClockConsensus(cameras, SKEW_MS * MS)

    def __call__(self, camera, stamp_ms, now_ms):
        return self.consensus.judge(camera, round(stamp_ms * MS), round(now_ms * MS)).name


@pytest.mark.parametrize(
    ('ahead_ms', 'verdict'), [(500, 'AGREES'), (501, 'AHEAD'), (-500, 'AGREES'), (-501, 'BEHIND')]
)
def test_clocks_may_be_apart_by_the_skew(ahead_ms, verdict):
    clocks = Clocks()
    clocks('a', 7000, 0)
    assert clocks('b', 7000 + ahead_ms, 0) == verdict


def test_a_clock_may_stand_while_time_passes_but_not_run_ahead_of_it():
    clocks = Clocks()
    clocks('a', 7000, 0)
    assert clocks('a', 7000, 900) == 'AGREES'
    assert clocks('b', 8399, 1800) == 'AGREES'
    assert clocks('c', 10_000, 1900) == 'AHEAD'


def test_of_two_that_disagree_the_first_stays_right():
    clocks = Clocks()
    said = [
        (clocks('a', 100 * k, 100 * k), clocks('b', 9000 + 100 * k, 100 * k)) for k in range(20)
    ]
    assert said == [('AGREES', 'AHEAD')] * 20


def test_more_cameras_are_right():
    clocks = Clocks()
    assert clocks('a', 9000, 0) == 'AGREES'
    assert clocks('b', 10, 10) == 'BEHIND'
    assert clocks('c', 20, 20) == 'JUMPED'
    assert clocks('b', 110, 110) == 'AGREES'
    assert clocks('a', 9100, 120) == 'AHEAD'


@pytest.mark.parametrize('by_ms', [-5000, 5000])
def test_a_jump_of_all_is_believed_when_most_have_made_it(by_ms):
    clocks = Clocks(5)
    for k in range(10):
        for camera in 'abcde':
            assert clocks(camera, 100 * k, 100 * k) == 'AGREES'
    refused = 'AHEAD' if by_ms > 0 else 'BEHIND'
    said = [clocks(camera, 1000 + by_ms, 1000) for camera in 'abcde']
    assert said == [refused, refused, 'JUMPED', 'AGREES', 'AGREES']


@pytest.mark.parametrize(('pause_ms', 'verdict'), [(1200, 'BEHIND'), (1201, 'JUMPED')])
def test_cameras_that_are_long_silent_have_no_say(pause_ms, verdict):
    clocks = Clocks()
    clocks('a', 5000, 0)
    clocks('b', 5000, 0)
    assert clocks('a', 0, pause_ms) == verdict


def test_a_jump_while_nothing_was_heard_is_one():
    clocks = Clocks()
    clocks('a', 5000, 0)
    assert clocks('a', 5000 + 60_000 + 501, 60_000) == 'JUMPED'
    assert clocks('a', 66_000, 60_100) == 'AGREES'


@pytest.mark.parametrize('direction', [-1, 1])
@pytest.mark.parametrize('drifting', range(4))
def test_a_clock_that_drifts_away_takes_nobody_along(drifting, direction):
    clocks = Clocks(4)
    said = [
        (index == drifting, clocks(name, 20 * k + (index == drifting) * direction * k, 20 * k))
        for k in range(2000)
        for index, name in enumerate('abcd')
    ]
    assert {verdict for is_drifting, verdict in said if not is_drifting} == {'AGREES'}
    refused = [verdict for is_drifting, verdict in said if is_drifting and verdict != 'AGREES']
    assert set(refused) == {'AHEAD' if direction > 0 else 'BEHIND'}
    assert len(refused) >= 1400


@given(
    st.lists(st.integers(-250, 250), min_size=1, max_size=6),
    st.floats(0.01, 3),
    st.lists(st.integers(0, 99), min_size=6, max_size=6),
)
def test_clocks_that_agree_are_never_refused_at_any_pace(skews_ms, pace, phases_ms):
    """Cameras at 10 Hz, whose frames may jitter by their clocks' difference."""
    clocks = Clocks(len(skews_ms))
    for k in range(12):
        for phase_ms, index in sorted(zip(phases_ms, range(len(skews_ms)), strict=False)):
            shutter_ms = 100 * k + phase_ms
            stamp_ms = shutter_ms + skews_ms[(index + k) % len(skews_ms)] * 0.8
            assert clocks(f'{index}', stamp_ms, shutter_ms / pace) == 'AGREES'


@given(st.lists(st.tuples(st.sampled_from('abc'), st.integers(-5000, 5000), st.integers(0, 2000))))
def test_at_any_time_the_frame_that_moves_the_consensus_agrees_with_it(frames):
    clocks, now_ms = Clocks(), 0
    for camera, stamp_ms, later_ms in frames:
        now_ms += later_ms
        if clocks(camera, stamp_ms, now_ms) == Verdict.JUMPED.name:
            assert clocks(camera, stamp_ms, now_ms) == 'AGREES'
