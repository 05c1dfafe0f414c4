"""What the synchroniser does in each situation that is known from vehicles and recordings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from camera_traffic import MS, camera, later, paced, play, stamps_ms, waits
from hypothesis import given, settings
from hypothesis import strategies as st

from selfocc_core.errors import SelfOccError
from selfocc_core.synchronizer import Synchronizer, SynchronizerConfig

CAMERAS = ('front', 'left', 'right')
CONFIG = SynchronizerConfig(tolerance_ns=60 * MS, timeout_ns=100 * MS)
AHEAD, BEHIND = 'stamp ahead of the other cameras', 'stamp behind the other cameras'

# Per camera: shutter times in ms; and delays of transport in ms, drawn for each frame.
arrivals = st.lists(
    st.tuples(st.sampled_from(CAMERAS), st.integers(0, 1500), st.integers(0, 300)), max_size=60
)


def config(**changed):
    in_ns = {f'{name}_ns': value * MS for name, value in changed.items() if name in IN_MS}
    return SynchronizerConfig(
        **in_ns, **{name: value for name, value in changed.items() if name not in IN_MS}
    )


IN_MS = ('tolerance', 'timeout', 'silent_after', 'max_clock_skew')


def synchronizer(cameras=CAMERAS, **changed):
    return Synchronizer(cameras, config(**changed))


def rig(**changed):
    """Return the frames of three cameras that fire 10 ms apart."""
    return [camera(name, 10 * index, **changed) for index, name in enumerate(CAMERAS)]


def cameras_of(left):
    return [''.join(sorted(name[0] for name in found.payloads)) for _, found in left]


def replay(frames, of=CONFIG):
    """Push frames in order of arrival; the payload is the frame itself."""
    sync = Synchronizer(CAMERAS, of)
    sets = []
    for name, shutter_ms, delay_ms in sorted(frames, key=lambda f: f[1] + f[2]):
        now_ns = (shutter_ms + delay_ms) * MS
        sets += sync.push(name, shutter_ms * MS, (name, shutter_ms), now_ns)
    return sync, sets


# Any traffic


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
            assert abs(s.stamps_ns[name] - s.stamp_ns) <= CONFIG.tolerance_ns
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


# Complete sets and nearest frames


def test_a_complete_set_leaves_at_once():
    sync = Synchronizer(CAMERAS, CONFIG)
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


# Cameras that are late, slow or lost


def test_a_late_camera_costs_no_more_than_the_timeout():
    sync = Synchronizer(CAMERAS, CONFIG)
    sync.push('front', 100 * MS, 'f', 100 * MS)
    sync.push('left', 100 * MS, 'l', 100 * MS)
    assert sync.poll(199 * MS) == []
    (partial,) = sync.poll(200 * MS)
    assert set(partial.payloads) == {'front', 'left'}


def test_a_camera_at_half_rate_is_not_waited_for_when_it_is_not_due():
    left = play(
        synchronizer(), camera('front'), camera('left', 10), camera('right', 20, period=200)
    )
    assert cameras_of(left[4:]) == ['flr', 'fl'] * 8
    assert waits(left[4:]) == [20, 10] * 8


def test_an_anchor_at_half_rate_loses_only_the_frames_between():
    sync = synchronizer()
    left = play(sync, camera('front', period=200), camera('left', 10), camera('right', 20))
    assert stamps_ms(left) == list(range(0, 2000, 200))
    assert set(cameras_of(left)) == {'flr'}
    assert set(sync.dropped_by_reason) == {'no anchor frame near it'}


def test_a_dead_camera_costs_the_timeout_only_until_it_counts_as_silent():
    left = play(synchronizer(), camera('front'), camera('left', 10), camera('right', 20, end=1000))
    assert cameras_of(left[:10]) == ['flr'] * 10
    assert cameras_of(left[10:]) == ['fl'] * 10
    assert waits(left[10:]) == [100, 100, 20, *[10] * 7]  # 20: it is silent then


def test_a_camera_that_never_came_is_not_waited_for_long():
    left = play(synchronizer(), camera('front'), camera('left', 10))
    assert cameras_of(left) == ['fl'] * 20
    assert waits(left)[4:] == [10] * 16


def test_a_camera_that_comes_back_is_waited_for_again():
    back = camera('right', 20, end=500) + camera('right', 20, start=1500)
    left = play(synchronizer(), camera('front'), camera('left', 10), back)
    assert cameras_of(left)[16:] == ['flr'] * 4
    assert waits(left)[16:] == [20] * 4


def test_a_dead_camera_does_not_stop_the_others_however_long_the_timeout():
    left = play(synchronizer(timeout=10_000), camera('front'), camera('left', 10))
    assert cameras_of(left) == ['fl'] * 20


def test_when_all_cameras_pause_none_counts_as_lost():
    """As when a recording is held for three seconds."""
    frames = [f for shots in rig() for f in shots]
    resumed = [f for f in frames if f.stamp_ms < 1000]
    resumed += later([f for f in frames if f.stamp_ms >= 1000], arrival_ms=3000)
    left = play(synchronizer(), resumed)
    assert cameras_of(left) == ['flr'] * 20
    assert max(waits(left)) == 20


def test_slow_cameras_are_not_taken_for_lost():
    left = play(synchronizer(), *rig(period=700, end=10_000))
    assert cameras_of(left) == ['flr'] * 15
    assert max(waits(left)) == 20


def test_when_too_many_sets_wait_the_oldest_leaves():
    sync = synchronizer(('front', 'left'), timeout=10_000)
    sync.push('left', 0, 'l', 0)
    sets = [s for k in range(12) for s in sync.push('front', (100 + k) * MS, 'f', (100 + k) * MS)]
    assert [s.stamp_ns // MS for s in sets] == [100, 101, 102, 103]


def test_a_flood_of_frames_does_not_push_out_those_that_a_set_waits_for():
    sync = synchronizer(('front', 'left', 'right'), silent_after=10_000)
    sync.push('left', 100 * MS, 'near', 100 * MS)
    sync.push('front', 101 * MS, 'f', 101 * MS)
    for k in range(60):
        sync.push('left', (110 + k) * MS, 'l', (110 + k) * MS)
    assert sync.waiting['left'] <= 16
    (found,) = sync.poll(201 * MS)
    assert found.payloads == {'front': 'f', 'left': 'near'}


# The anchor


def test_a_lost_anchor_is_replaced_and_takes_over_again():
    sync = synchronizer()
    front = camera('front', end=500) + camera('front', start=1500)
    left = play(sync, front, camera('left', 10), camera('right', 20))
    # Last heard at 405, it is silent at 705: the next frame of the deputy is that of 710.
    assert stamps_ms(left) == [
        *range(0, 500, 100), *range(710, 1500, 100), *range(1500, 2000, 100)
    ]  # fmt: skip
    assert cameras_of(left) == ['flr'] * 5 + ['lr'] * 8 + ['flr'] * 5
    assert max(waits(left[:-5])) == 20
    assert sync.acting_anchor == 'front'


def test_the_next_camera_that_delivers_is_the_anchor():
    sync = synchronizer()
    play(sync, camera('right', end=450))
    assert sync.acting_anchor == 'right'
    play(sync, camera('right', start=500, end=1000), camera('left', 10, start=500, end=1000))
    assert sync.acting_anchor == 'left'


def test_nobody_is_the_anchor_where_any_camera_opens_sets():
    assert synchronizer(reference='first').acting_anchor is None


def test_a_change_of_the_anchor_repeats_no_moment():
    """The first camera comes back between two frames of its deputy, 50 ms from each."""
    sync = synchronizer(('front', 'left'))
    left = play(sync, camera('front', 50, start=1000), camera('left'))
    stamps = stamps_ms(left)
    assert min(b - a for a, b in pairwise(stamps)) > 60


def test_fast_anchors_open_a_set_with_each_frame():
    left = play(
        synchronizer(('front', 'left')), camera('front', period=33), camera('left', period=33)
    )
    assert stamps_ms(left) == list(range(0, 2000, 33))


# Any camera as the reference


def test_without_an_anchor_the_first_frame_opens_a_set():
    sync = synchronizer(reference='first')
    left = play(sync, camera('front', 30, end=1000), camera('left', 10), camera('right'))
    assert stamps_ms(left) == list(range(0, 2000, 100))
    assert cameras_of(left) == ['flr'] * 10 + ['lr'] * 10
    assert waits(left)[14:] == [10] * 6


def test_without_an_anchor_no_set_repeats_a_moment():
    sync = synchronizer(('front', 'left'), reference='first')
    left = play(sync, camera('front', period=33), camera('left', 5, period=33))
    stamps = stamps_ms(left)
    assert stamps == list(range(0, 2000, 66))
    assert set(cameras_of(left)) == {'fl'}


# Frames that are not taken


def test_a_frame_from_the_past_is_counted():
    sync = Synchronizer(CAMERAS, CONFIG)
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


# Clocks


@pytest.mark.parametrize('wrong', CAMERAS)
@pytest.mark.parametrize('clock', [10_000, -10_000])
def test_a_camera_with_a_wrong_clock_disturbs_nobody(wrong, clock):
    frames = rig()
    frames[CAMERAS.index(wrong)] = later(frames[CAMERAS.index(wrong)], stamp_ms=clock)
    sync = synchronizer()
    left = play(sync, *frames)[-19:]  # until three were heard nobody knows which clock is right
    others = ''.join(name[0] for name in CAMERAS if name != wrong)
    assert cameras_of(left) == [others] * 19
    assert len({stamp // 100 for stamp in stamps_ms(left)}) == 19
    assert max(waits(left)) <= 20
    assert sync.refused(wrong) >= 19
    assert sync.clock_jumps <= 1


@pytest.mark.parametrize(('clock', 'reason'), [(3600_000, AHEAD), (-730, BEHIND)])
def test_a_driver_that_restarts_with_another_clock_is_refused_alone(clock, reason):
    front = camera('front', end=1000) + camera('front', start=1000, clock=clock)
    sync = synchronizer()
    left = play(sync, front, camera('left', 10), camera('right', 20))
    assert cameras_of(left) == ['flr'] * 10 + ['lr'] * 10
    assert max(waits(left)) == 20
    assert sync.dropped['front'] == {reason: 10}
    assert sync.refused('front') == 10
    assert sync.acting_anchor == 'left'
    assert sync.clock_jumps == 0


def test_a_clock_that_is_set_right_again_is_accepted():
    front = camera('front', end=500, clock=5000) + camera('front', start=500)
    left = play(synchronizer(), front, camera('left', 10), camera('right', 20))
    assert cameras_of(left)[-14:] == ['flr'] * 14


@pytest.mark.parametrize('pause_ms', [0, 80, 5000])
@pytest.mark.parametrize('by_ms', [-1000, -100_000, 100_000])
def test_when_a_bag_begins_again_its_frames_count_at_once(by_ms, pause_ms):
    """Or when it jumps ahead."""
    first = [f for shots in rig() for f in shots]
    again = later(first, stamp_ms=by_ms + 2000, arrival_ms=2000 + pause_ms)
    sync = synchronizer()
    left = play(sync, first, again)
    assert stamps_ms(left)[-19:] == list(range(by_ms + 2100, by_ms + 4000, 100))
    assert cameras_of(left)[-19:] == ['flr'] * 19
    assert max(waits(left)) <= 20
    assert sync.clock_jumps == 1


def test_what_waits_when_the_clocks_jump_is_dropped():
    sync = synchronizer(timeout=1000)
    play(sync, camera('front', end=200), camera('left', 10, end=200))
    assert sync.waiting == {'front': 2, 'left': 2, 'right': 0}
    sync.push('front', 10**15, None, 5000 * MS)
    assert sync.dropped_by_reason == {'clock jump': 4}
    assert sync.waiting == {'front': 1, 'left': 0, 'right': 0}


def test_a_single_camera_is_right():
    sync = synchronizer(('front',))
    again = later(camera('front'), arrival_ms=2000)
    left = play(sync, camera('front'), again)
    assert stamps_ms(left) == [*range(0, 2000, 100)] * 2
    assert sync.clock_jumps == 1


@pytest.mark.parametrize('factor', [0.1, 0.5, 2, 10, 1000])
@pytest.mark.parametrize('period', [100, 400, 1000])
def test_a_recording_may_be_played_at_any_pace(factor, period):
    """One of the cameras may be slow, another dies."""
    slow = camera('slow', 35, period=period, end=5000)
    cameras = [*rig(end=5000), slow, camera('dead', 30, end=1000)]
    sync = synchronizer((*CAMERAS, 'slow', 'dead'), timeout=1000)
    left = play(sync, *(paced(shots, factor) for shots in cameras))
    left += [(0, found) for found in sync.poll(10**15)]
    assert stamps_ms(left) == list(range(0, 5000, 100))
    assert all(set(CAMERAS) <= set(found.payloads) for _, found in left)
    assert sync.clock_jumps == 0
    assert all(not sync.dropped[name] for name in CAMERAS)
    # Until their rhythm is known, and where it is too slow, cameras may count as silent.
    assert sync.dropped_by_reason.keys() <= {'no anchor frame near it'}
    assert sync.dropped_by_reason.total() <= 5


@pytest.mark.parametrize('factor', [0.1, 1, 10])
def test_at_any_pace_a_wrong_clock_is_found(factor):
    frames = [*rig(end=5000), camera('wrong', 5, clock=-10_000, end=5000)]
    sync = synchronizer((*CAMERAS, 'wrong'), timeout=1000)
    left = play(sync, *(paced(shots, factor) for shots in frames))
    assert stamps_ms(left) == list(range(0, 5000, 100))
    assert sync.refused('wrong') == 50
    assert sync.clock_jumps == 0


def test_stamps_may_be_the_time_of_arrival():
    sync = synchronizer()
    left = play(sync, *rig(latency=0))
    assert cameras_of(left) == ['flr'] * 20
    assert sync.clock_jumps == 0


def test_a_clock_of_arrival_that_is_set_back_does_not_silence_the_cameras():
    """The bag begins again, and time of arrival is that of recording."""
    sync = Synchronizer(('a', 'b'))
    emitted = []
    for start_ns in (10**12, 10**9):
        for k in range(5):
            for name in ('a', 'b'):
                stamp_ns = start_ns + k * 10**8
                emitted += sync.push(name, stamp_ns, None, stamp_ns)
    assert [s.stamp_ns for s in emitted if s.stamp_ns < 10**12] == [
        10**9 + k * 10**8 for k in range(5)
    ]
    assert sync.clock_jumps == 1


def test_a_stall_of_the_receiver_is_no_jump():
    """For 400 ms nothing is taken; then each camera's frames come in one go."""
    frames = [
        f if not 1000 <= f.arrival_ms < 1400 else later([f], arrival_ms=1400 - f.arrival_ms)[0]
        for shots in rig()
        for f in shots
    ]
    sync = synchronizer()
    left = play(sync, frames)
    assert stamps_ms(left) == list(range(0, 2000, 100))
    assert sync.clock_jumps == 0
    assert sync.dropped_by_reason.total() == 0


# The rest of the interface


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
