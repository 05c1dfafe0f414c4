from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.frame_queue import MOST_FRAMES, Frame, FrameQueue


def queue(*moments):
    made = FrameQueue()
    for moment in moments:
        made.append(Frame(moment, moment, str(moment)), ())
    return made


def test_the_nearest_frame_is_within_the_tolerance():
    frames = queue(0, 100, 200)
    assert frames.nearest(149, 49).payload == '100'
    assert frames.nearest(151, 49).payload == '200'
    assert frames.nearest(150, 49) is None
    assert queue().nearest(0, 10**9) is None


def test_with_a_frame_go_those_before_it():
    frames = queue(0, 90, 100, 200)
    assert frames.take(110, 30).payload == '100'
    assert frames.dropped == {'no anchor frame near it': 1, 'superseded': 1}
    assert len(frames) == 1
    assert frames.take(210, 30).payload == '200'


def test_where_no_frame_is_near_only_those_before_go():
    frames = queue(69, 70, 131)
    assert frames.take(100, 29) is None
    assert frames.dropped == {'no anchor frame near it': 2}
    assert frames.nearest(131, 0).payload == '131'


def test_all_are_dropped_for_one_reason():
    frames = queue(1, 2, 3)
    frames.clear('reset')
    frames.clear('clock jump')
    assert frames.dropped == {'reset': 3}
    assert len(frames) == 0


@given(st.sets(st.integers(0, 99), max_size=MOST_FRAMES - 1))
def test_a_full_queue_keeps_what_is_wanted(wanted):
    frames = FrameQueue()
    for moment in range(100):
        frames.append(Frame(moment, moment, moment), [w for w in wanted if w <= moment])
        assert len(frames) <= MOST_FRAMES
    assert all(frames.nearest(moment, 0) for moment in wanted)
    assert frames.dropped == {'no anchor frame near it': 100 - MOST_FRAMES}
