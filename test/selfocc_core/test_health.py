from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.health import NEVER_HEARD, UNMATCHED, HealthMonitor, Level

CAMERAS = ('front', 'left', 'right')


def monitor(minimum=2):
    return HealthMonitor(CAMERAS, minimum, silent_after_s=0.5, now_s=0.0)


def drive(health, begin_s, end_s, cameras=CAMERAS, faults=None):
    """Feed 10 Hz images and assess at 5 Hz; return everything that was said."""
    events = []
    for step in range(round(begin_s * 10), round(end_s * 10)):
        for camera in cameras:
            health.image_arrived(camera, (faults or {}).get(camera), step / 10)
        if step % 2 == 0:
            events += health.assess(step / 10).events
    return events


def sentences(events):
    return [event.sentence for event in events]


def test_all_cameras_work_in_silence():
    health = monitor()
    assert drive(health, 0, 20) == []
    assert health.assess(20.0).level == Level.OK
    assert health.assess(20.0).sentence == 'all cameras work'


def test_a_lost_camera_is_named_once_and_its_return_once():
    health = monitor()
    assert drive(health, 0, 5) == []
    (lost,) = drive(health, 5, 10, cameras=('front', 'left'))
    assert (lost.level, lost.sentence) == (
        Level.WARN, 'camera "right" is not used: no image for 0.5 s',
    )  # fmt: skip
    assessed = health.assess(10.0)
    assert assessed.level == Level.WARN
    assert assessed.problems == {'right': 'no image for 0.5 s'}
    assert assessed.sentence == '2 of 3 cameras work; without right (no image for 0.5 s)'
    (back,) = drive(health, 10, 20)
    assert back.level == Level.OK
    assert back.sentence.startswith('camera "right" works again after 5')
    assert health.assess(20.0).level == Level.OK


def test_below_the_minimum_is_an_error_said_once_and_taken_back_once():
    health = monitor()
    drive(health, 0, 5)
    events = drive(health, 5, 10, cameras=('front',))
    assert [event.level for event in events] == [Level.WARN, Level.WARN, Level.ERROR]
    assert events[-1].sentence == 'no occupancy: 2 of 3 cameras are needed, fewer work'
    assert health.assess(10.0).level == Level.ERROR
    assert '2 are needed' in health.assess(10.0).sentence
    events = drive(health, 10, 15)
    assert sentences(events)[-1] == 'enough cameras work again: occupancy goes on'
    assert health.assess(15.0).level == Level.OK


def test_drivers_have_five_seconds_to_start():
    health = monitor()
    assert drive(health, 0, 5, cameras=('front', 'left')) == []
    (missing,) = drive(health, 5, 9, cameras=('front', 'left'))
    assert missing.sentence == f'camera "right" is not used: {NEVER_HEARD}'


def test_one_bad_image_is_no_lost_camera_and_every_second_is():
    health = monitor()
    drive(health, 0, 5)
    health.image_arrived('left', 'black image', 5.0)
    assert health.assess(5.0).level == Level.OK
    health.image_arrived('left', None, 5.1)
    health.image_arrived('left', 'black image', 5.2)
    assert health.assess(5.2).problems == {'left': 'black image'}


def test_a_loose_plug_does_not_fill_the_log():
    """Good and bad for a while in turn: the camera is bad until it was good for a second."""
    health = monitor()
    drive(health, 0, 5)
    said = []
    for second in range(5, 15):
        said += drive(health, second, second + 0.4, faults={'left': 'cannot be decoded'})
        said += drive(health, second + 0.4, second + 1)
    assert sentences(said) == ['camera "left" is not used: cannot be decoded']


@given(
    st.lists(
        st.tuples(
            st.sampled_from(CAMERAS), st.sampled_from([None, 'a', 'b']), st.floats(0.01, 2.0)
        ),
        max_size=60,
    )
)
def test_whatever_happens_level_problems_and_events_agree(arrivals):
    health, now_s, announced = monitor(), 0.0, {}
    for camera, fault, wait_s in arrivals:
        now_s += wait_s
        health.image_arrived(camera, fault, now_s)
        assessed = health.assess(now_s)
        expected = Level.OK
        if assessed.problems:
            enough = len(CAMERAS) - len(assessed.problems) >= 2
            expected = Level.WARN if enough else Level.ERROR
        assert assessed.level == expected
        for event in assessed.events:
            for name in CAMERAS:
                if f'"{name}" is not used' in event.sentence:
                    announced[name] = event.sentence.split(': ')[1]
                elif f'"{name}" works again' in event.sentence:
                    del announced[name]  # only what was announced can be over
        assert announced == assessed.problems


@pytest.mark.parametrize('minimum', [1, 3])
def test_the_minimum_counts(minimum):
    health = monitor(minimum)
    drive(health, 0, 5)
    drive(health, 5, 7, cameras=('front',))
    assert health.assess(7.0).level == (Level.WARN if minimum == 1 else Level.ERROR)


def test_a_camera_whose_images_match_no_frame_set_does_not_work():
    """Its driver is alive, but its stamps are 200 ms off."""
    health = monitor()
    for step in range(30):
        now_s = step / 10
        for camera in CAMERAS:
            health.image_arrived(camera, None, now_s)
        health.set_formed(['front', 'left'], now_s)
        assessed = health.assess(now_s)
        assert ('right' in assessed.problems) == (now_s >= 1.0), now_s
    assert assessed.problems == {'right': UNMATCHED}
    health.set_formed(CAMERAS, 3.0)
    health.image_arrived('right', None, 4.1)
    health.set_formed(CAMERAS, 4.1)
    assert 'right' not in health.assess(4.2).problems


def test_while_no_frame_set_is_formed_nobody_is_blamed_for_it():
    health = monitor()
    assert drive(health, 0, 5) == []
    health.set_formed(['front'], 5.0)
    assert drive(health, 6.1, 9) == []


def test_a_slow_camera_is_not_silent_between_its_images():
    """A camera at 1 Hz, as in a bag that is played slowly."""
    health = HealthMonitor(('slow',), 1, silent_after_s=0.5, now_s=0.0)
    for step in range(100):
        if step % 10 == 0:
            health.image_arrived('slow', None, step / 10)
        if step > 10:
            assert health.assess(step / 10).level == Level.OK
    assert health.assess(13.0).level == Level.ERROR
