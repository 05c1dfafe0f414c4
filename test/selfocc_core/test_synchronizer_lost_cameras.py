"""Cameras that are late, slow or lost: who is waited for, and who is the anchor."""

from __future__ import annotations

from itertools import pairwise

from camera_traffic import (
    CAMERAS,
    MS,
    camera,
    cameras_of,
    later,
    play,
    rig,
    stamps_ms,
    synchronizer,
    waits,
)

from selfocc_core.synchronizer import Synchronizer


def test_a_late_camera_costs_no_more_than_the_timeout():
    sync = Synchronizer(CAMERAS)
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
