"""Which frames make a set, and which do not."""

from __future__ import annotations

import pytest
from camera_traffic import (
    CAMERAS,
    MS,
    camera,
    cameras_of,
    config,
    later,
    play,
    stamps_ms,
    synchronizer,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from selfocc_core.errors import SelfOccError
from selfocc_core.synchronizer import Synchronizer, SynchronizerConfig

TOLERANCE_NS = SynchronizerConfig().tolerance_ns

# Per camera: shutter times in ms; and delays of transport in ms, drawn for each frame.
arrivals = st.lists(
    st.tuples(st.sampled_from(CAMERAS), st.integers(0, 1500), st.integers(0, 300)), max_size=60
)


def replay(frames):
    """Push frames in order of arrival; the payload is the frame itself."""
    sync = Synchronizer(CAMERAS)
    sets = []
    for name, shutter_ms, delay_ms in sorted(frames, key=lambda f: f[1] + f[2]):
        now_ns = (shutter_ms + delay_ms) * MS
        sets += sync.push(name, shutter_ms * MS, (name, shutter_ms), now_ns)
    return sync, sets


@settings(max_examples=200)
@given(arrivals)
def test_every_frame_is_in_a_set_or_dropped_with_a_reason_or_still_waiting(frames):
    sync, sets = replay(frames)
    sync.reset()  # what waits now is counted as dropped
    assert sum(sync.waiting.values()) == 0
    used = sum(len(s.payloads) for s in sets)
    assert used + sync.dropped_by_reason.total() == len(frames)


@settings(max_examples=200)
@given(arrivals)
def test_sets_are_in_order_near_their_anchor_and_share_no_frame(frames):
    sync, sets = replay(frames)
    sets += sync.poll(10**15)
    stamps = [s.stamp_ns for s in sets]
    assert stamps == sorted(set(stamps))
    seen = set()
    for s in sets:
        assert s.stamp_ns in s.stamps_ns.values()
        assert s.payloads.keys() == s.stamps_ns.keys()
        for name, payload in s.payloads.items():
            assert payload == (name, s.stamps_ns[name] // MS)
            assert abs(s.stamps_ns[name] - s.stamp_ns) <= TOLERANCE_NS
            assert payload not in seen
            seen.add(payload)


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 9), min_size=30, max_size=30),
    st.tuples(st.integers(-40, 40), st.integers(-40, 40)),
)
def test_a_regular_rig_loses_nothing(jitter, offsets):
    """10 Hz, any stagger up to 40 ms, a few milliseconds of transport: every set is complete."""
    frames = []
    for k in range(10):
        for c, (name, offset) in enumerate(zip(CAMERAS, (0, *offsets), strict=True)):
            frames.append((name, 1000 + 100 * k + offset, jitter[3 * k + c]))
    sync, sets = replay(frames)
    sets += sync.poll(10**15)
    assert [s.stamp_ns // MS for s in sets] == [1000 + 100 * k for k in range(10)]
    assert all(len(s.payloads) == 3 for s in sets)
    assert sync.dropped_by_reason.total() == 0


def test_a_complete_set_leaves_at_once():
    sync = Synchronizer(CAMERAS)
    assert sync.push('front', 100 * MS, 'f', 101 * MS) == []
    assert sync.push('left', 105 * MS, 'l', 106 * MS) == []
    (complete,) = sync.push('right', 110 * MS, 'r', 111 * MS)
    assert complete.payloads == {'front': 'f', 'left': 'l', 'right': 'r'}


def test_of_two_frames_the_nearer_is_taken_and_the_other_counted():
    sync = synchronizer(('front', 'left'))
    sync.push('left', 60 * MS, 'far', 60 * MS)
    sync.push('left', 80 * MS, 'near', 80 * MS)
    (found,) = sync.push('front', 85 * MS, 'f', 100 * MS)
    assert found.payloads['left'] == 'near'
    assert sync.dropped['left'] == {'superseded': 1}


def test_a_nearer_frame_is_waited_for():
    left = play(synchronizer(('front', 'left')), camera('front'), camera('left', 48, period=99))
    first = [found.payloads['left'].stamp_ms - found.stamp_ns // MS for _, found in left[:3]]
    assert first == [48, 47, 46]


@pytest.mark.parametrize(('apart_ms', 'cameras'), [(60, 'fl'), (61, 'f')])
def test_the_tolerance_is_the_last_that_is_allowed(apart_ms, cameras):
    sync = synchronizer(('front', 'left'))
    sync.push('left', (200 - apart_ms) * MS, 'l', 200 * MS)
    left = [(0, s) for s in sync.push('front', 200 * MS, 'f', 201 * MS) + sync.poll(301 * MS)]
    assert cameras_of(left) == [cameras]


def test_a_frame_near_no_set_is_counted():
    sync = synchronizer(('front', 'left'))
    sync.push('left', 10 * MS, 'l', 100 * MS)
    sync.push('front', 100 * MS, 'f', 101 * MS)
    sync.poll(201 * MS)
    assert sync.dropped['left'] == {'no anchor frame near it': 1}


def test_too_few_cameras_are_counted_not_hidden():
    sync = synchronizer(minimum_cameras=2)
    sync.push('front', 100 * MS, 'f', 100 * MS)
    assert sync.poll(300 * MS) == []
    assert sync.dropped['front'] == {'too few cameras': 1}
    assert sync.dropped_by_reason == {'too few cameras': 1}


def test_known_phases_are_taken_off_before_matching():
    offsets_ns = {'left': 90 * MS, 'right': 180 * MS}
    sync = synchronizer(offsets_ns=offsets_ns, timeout=250)
    left = play(
        sync, camera('front', period=200), camera('left', 93, period=200),
        camera('right', 178, period=200),
    )  # fmt: skip
    assert cameras_of(left) == ['flr'] * 10
    now_ms, second = left[1]
    assert second.stamp_ns == 200 * MS
    assert {name: stamp // MS for name, stamp in second.stamps_ns.items()} == {
        'front': 200, 'left': 293, 'right': 378,
    }  # fmt: skip
    assert now_ms == 378 + 5


def test_the_set_of_an_acting_anchor_has_the_moment_not_the_shutter():
    sync = synchronizer(('front', 'left'), offsets_ns={'left': 30 * MS})
    left = play(sync, camera('left', 30))
    assert stamps_ms(left)[-1] == 1900
    assert left[-1][1].stamps_ns == {'left': 1930 * MS}


def test_a_frame_from_the_past_is_counted():
    sync = Synchronizer(CAMERAS)
    sync.push('left', 100 * MS, 'l', 100 * MS)
    sync.push('left', 50 * MS, 'l', 101 * MS)
    assert sync.dropped['left'] == {'out of order': 1}
    assert sync.waiting == {'front': 0, 'left': 1, 'right': 0}


def test_a_frame_that_comes_twice_is_used_once():
    sync = synchronizer(('front', 'left'))
    sets = []
    for shutter_ms in (100, 130):
        sets += sync.push('front', shutter_ms * MS, 'f', 150 * MS)
        sets += sync.push('left', 120 * MS, 'l', 150 * MS)
    sets += sync.poll(300 * MS)
    assert [set(s.payloads) for s in sets] == [{'front', 'left'}, {'front'}]
    assert sync.dropped['left'] == {'duplicate': 1}


def test_an_anchor_that_repeats_its_last_frame_is_lost():
    frozen = [shot for k in range(30) for shot in later(camera('front', end=1), 0, 100 * k)]
    sync = synchronizer()
    left = play(sync, frozen, camera('left', 10), camera('right', 20))
    assert sync.acting_anchor == 'left'
    assert cameras_of(left)[-10:] == ['lr'] * 10


def test_cameras_are_known_by_name():
    with pytest.raises(SelfOccError, match='camera "rear" is not one of front, left, right'):
        Synchronizer(CAMERAS).push('rear', 0, None, 0)
    with pytest.raises(SelfOccError, match='camera "rear" is not one of front, left, right'):
        synchronizer(offsets_ns={'rear': 1})
    with pytest.raises(SelfOccError, match='front, front cannot be synchronised: name each once'):
        Synchronizer(('front', 'front'))
    with pytest.raises(SelfOccError, match=r'\(none\) cannot be synchronised'):
        Synchronizer(())
    with pytest.raises(SelfOccError, match='reference "newest" is unknown: give "anchor" or "fir'):
        SynchronizerConfig(reference='newest')


def test_reset_allows_time_to_jump_back_and_counts_what_waited():
    sync, sets = replay([(c, 1000, 0) for c in CAMERAS])
    assert len(sets) == 1
    sync.push('left', 1100 * MS, None, 1100 * MS)
    sync.reset()
    assert sync.dropped['left'] == {'reset': 1}
    for name in CAMERAS:
        sets += sync.push(name, 0, name, 0)
    assert [s.stamp_ns for s in sets] == [1000 * MS, 0]
    assert sync.clock_jumps == 0


def test_before_the_first_frame_there_is_nothing_to_poll():
    assert Synchronizer(CAMERAS).poll(0) == []


def test_tolerance_and_timeout_may_change_meanwhile():
    sync = synchronizer(('front', 'left'))
    sync.push('left', 100 * MS, 'l', 100 * MS)
    sync.push('front', 170 * MS, 'f', 170 * MS)
    sync.config = config(tolerance=80, timeout=20)
    (found,) = sync.poll(190 * MS)
    assert set(found.payloads) == {'front', 'left'}
