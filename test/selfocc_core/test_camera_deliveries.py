from __future__ import annotations

import pytest

from selfocc_core.camera_deliveries import CameraDeliveries


def deliveries(cameras='ab', silent_after=300):
    return CameraDeliveries(cameras, silent_after, 0)


def deliver(to, camera, start, end, period=100):
    for now in range(start, end, period):
        to.take(camera, now, now)


def test_the_period_is_the_usual_one_though_frames_are_lost():
    cameras = deliveries()
    assert cameras.period_ns('a') is None
    for moment in (0, 100, 200, 500, 800, 900):
        cameras.take('a', moment, moment)
    assert cameras.period_ns('a') == 100
    assert cameras.newest_ns('a') == 900
    assert cameras.newest_ns('b') is None


def test_another_rate_is_soon_believed():
    cameras = deliveries()
    deliver(cameras, 'a', 0, 1000)
    deliver(cameras, 'a', 1000, 1700, 200)
    assert cameras.period_ns('a') == 200


def test_who_delivers_nothing_while_others_do_is_silent():
    cameras = deliveries()
    for now in range(0, 501, 100):
        cameras.take('a', now, now)
        if now <= 200:
            cameras.take('b', now, now)
    assert not cameras.is_silent('b', 499)
    assert cameras.is_silent('b', 500)
    assert not cameras.is_silent('a', 500)
    cameras.take('b', 510, 510)
    assert not cameras.is_silent('b', 510)


def test_who_never_delivers_is_silent_after_a_while():
    cameras = deliveries()
    deliver(cameras, 'a', 0, 300)
    assert not cameras.is_silent('b', 299)
    assert cameras.is_silent('b', 300)


def test_when_all_pause_none_is_silent():
    cameras = deliveries()
    cameras.take('a', 0, 0)
    cameras.take('b', 10, 10)
    assert not cameras.is_silent('a', 10**6)
    cameras.take('a', 100, 10**6)
    assert not cameras.is_silent('b', 10**6)  # the pause counts as 100
    cameras.take('a', 200, 10**6 + 100)
    assert not cameras.is_silent('b', 10**6 + 199)
    assert cameras.is_silent('b', 10**6 + 200)


@pytest.mark.parametrize(('period', 'silent_after'), [(90, 300), (300, 900), (2000, 3000)])
def test_a_slow_camera_is_given_three_periods_at_most_ten_times_the_others(period, silent_after):
    cameras = deliveries()
    last = 4 * period
    for now in range(0, last + silent_after + 1, 10):
        cameras.take('a', now, now)
        if now <= last and now % period == 0:
            cameras.take('b', now, now)
    assert not cameras.is_silent('b', last + silent_after - 1)
    assert cameras.is_silent('b', last + silent_after)


def test_one_long_gap_makes_nobody_patient():
    cameras = deliveries()
    for now in range(0, 1901, 10):
        cameras.take('a', now, now)
        if now in {0, 100, 200, 300, 400, 1500, 1600}:
            cameras.take('b', now, now)
    assert not cameras.is_silent('b', 1899)
    assert cameras.is_silent('b', 1900)


def test_who_is_refused_is_silent_until_something_is_taken():
    cameras = deliveries()
    cameras.take('a', 0, 0)
    cameras.refuse('a')
    assert cameras.is_silent('a', 0)
    cameras.take('a', 100, 100)
    assert not cameras.is_silent('a', 100)


def test_in_a_new_time_the_rhythm_stays_known_and_nobody_is_refused():
    cameras = deliveries()
    deliver(cameras, 'a', 10_000, 10_500)
    cameras.refuse('a')
    cameras.forget_moments()
    assert not cameras.is_silent('a', 10_500)
    assert cameras.newest_ns('a') is None
    cameras.take('a', 0, 10_500)
    assert cameras.newest_ns('a') == 0
    assert cameras.period_ns('a') == 100
