from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

pytest.importorskip('diagnostic_msgs')
from diagnostic_msgs.msg import DiagnosticStatus

from selfocc_core.health import Health, Level
from selfocc_ros.diagnostics import Account, diagnostic_array, values_of
from selfocc_ros.statistics import NOBODY_LISTENS, NodeStatistics


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def diagnosed(statistics, **changes):
    from builtin_interfaces.msg import Time

    account = Account(
        statistics=statistics.snapshot(),
        health=Health(Level.OK, {}, 'all cameras work', ()),
        synchronizer_dropped={},
        waiting={},
        synchronizer={},
        topics={},
        calibration={},
        motion='',
        inference={'backend': 'none', 'model': 'mock 0.1.0'},
        active=True,
    )
    return diagnostic_array('surround', Time(), replace(account, **changes))


def levels_of(array):
    return {status.name.split(': ')[1]: status.level for status in array.status}


def test_each_frame_set_ends_in_one_place():
    statistics = NodeStatistics(['front', 'back'])
    for present in (['front', 'back'], ['front', 'back'], ['front'], ['front', 'back']):
        statistics.set_formed(present)
    statistics.set_published(['front', 'back'], {}, latency_s=0.1, with_odometry=True)
    black = {'back': 'black image'}
    statistics.set_published(['front', 'back'], black, latency_s=0.1, with_odometry=False)
    statistics.set_lost('superseded by a newer one', {'front': 'superseded'})
    values = values_of(diagnosed(statistics), ': inference')
    assert values['frame_sets'] == '4'
    assert values['published'] == '2'
    assert values['lost: superseded by a newer one'] == '1'
    assert values['in_progress'] == '1'
    assert values['published_without_odometry'] == '1'
    assert statistics.incomplete == 1


def test_each_image_ends_in_one_place():
    statistics = NodeStatistics(['front', 'back'])
    for _ in range(5):
        statistics.image_arrived('front')
        statistics.image_arrived('back')
    statistics.image_dropped('back', 'damaged message')
    for camera in ['front'] * 5 + ['back'] * 3:  # the fourth of the back waits in the intake
        statistics.image_handed_on(camera)
    for _ in range(3):
        statistics.set_formed(['front', 'back'])
    statistics.set_published(['front', 'back'], {}, latency_s=0.1, with_odometry=True)
    black = {'back': 'black image'}
    statistics.set_published(['front', 'back'], black, latency_s=0.1, with_odometry=True)
    statistics.set_lost('superseded', dict.fromkeys(['front', 'back'], 'frame set superseded'))
    array = diagnosed(statistics, waiting={'front': 2}, synchronizer_dropped={'back': {}})
    front, back = (values_of(array, f': camera {name}') for name in ('front', 'back'))
    assert (front['received'], front['used'], front['waiting']) == ('5', '2', '2')
    assert front['dropped: frame set superseded'] == '1'
    assert (back['received'], back['used'], back['waiting']) == ('5', '1', '1')
    assert back['dropped: damaged message'] == back['dropped: black image'] == '1'
    assert values_of(array, ': occupancy')['mask'] == '10'


def test_rate_and_age_of_a_camera():
    clock = Clock()
    statistics = NodeStatistics(['front', 'back'], clock)
    for tick in range(5):
        clock.now_s = 0.1 * tick
        statistics.image_arrived('front')
    clock.now_s = 2.0
    array = diagnosed(statistics)
    front = values_of(array, ': camera front')
    assert (front['received'], front['rate_hz'], front['age_s']) == ('5', '10.00', '1.600')
    assert levels_of(array)['camera front'] == DiagnosticStatus.OK
    assert levels_of(array)['camera back'] == DiagnosticStatus.WARN


def test_the_state_of_the_cameras_is_the_state_of_the_whole():
    statistics = NodeStatistics(['front', 'back'])
    for name in ('front', 'back'):
        statistics.image_arrived(name)
    lost = {'back': 'no image for 0.5 s'}
    health = Health(Level.ERROR, lost, '1 cameras work, 2 are needed', ())
    array = diagnosed(statistics, health=health)
    levels = levels_of(array)
    assert (levels['occupancy'], levels['camera back'], levels['camera front']) == (
        DiagnosticStatus.ERROR, DiagnosticStatus.WARN, DiagnosticStatus.OK,
    )  # fmt: skip
    assert values_of(array, ': occupancy')['cameras_missing'] == 'back'
    texts = {status.name.split(': ')[1]: status.message for status in array.status}
    assert texts['camera back'] == 'no image for 0.5 s'
    assert levels_of(diagnosed(statistics, health=health, active=False)) == dict.fromkeys(
        levels, DiagnosticStatus.OK
    )


def test_a_calibration_that_is_not_known_is_a_warning_at_its_camera():
    statistics = NodeStatistics(['front'])
    statistics.image_arrived('front')
    array = diagnosed(statistics, calibration={'front': 'no camera_info has arrived'})
    assert levels_of(array)['camera front'] == DiagnosticStatus.WARN
    assert values_of(array, ': camera front')['calibration'] == 'no camera_info has arrived'


@pytest.mark.parametrize(
    ('offset_s', 'level'),
    [(0.1, DiagnosticStatus.OK), (9e8, DiagnosticStatus.OK), (-0.1, DiagnosticStatus.OK),
     (-2.0, DiagnosticStatus.WARN)],
)  # fmt: skip
def test_stamps_in_the_future_are_a_warning_and_those_of_a_recording_are_not(offset_s, level):
    statistics = NodeStatistics(['front'])
    statistics.image_arrived('front')
    statistics.clock_compared('front', offset_s)
    assert levels_of(diagnosed(statistics))['camera front'] == level


def test_a_snapshot_stays_as_it_was():
    statistics = NodeStatistics(['front'])
    statistics.image_arrived('front')
    statistics.image_dropped('front', 'too dark')
    statistics.set_lost('late', {})
    taken = statistics.snapshot()
    statistics.image_arrived('front')
    statistics.image_dropped('front', 'too small')
    statistics.set_lost('internal error', {})
    with statistics.stage('inference'):
        pass
    assert taken.cameras['front'].received == 1
    assert dict(taken.cameras['front'].dropped) == {'too dark': 1}
    assert dict(taken.lost) == {'late': 1}
    assert taken.stages_ms() == {}


def test_stages_report_median_and_95th_percentile():
    clock = Clock()
    statistics = NodeStatistics(['front'], clock)
    for duration_s in [0.01] * 9 + [0.1]:
        with statistics.stage('inference'):
            clock.now_s += duration_s
    p50_ms, p95_ms = statistics.stages_ms()['inference']
    assert p50_ms == pytest.approx(10.0)
    assert p95_ms == pytest.approx(59.5)


def test_what_the_synchroniser_dropped_is_told_at_the_camera_and_added_up():
    statistics = NodeStatistics(['front'])
    statistics.absorb({'front': {'out of order': 1}})
    dropped = {'front': Counter({'out of order': 3})}
    array = diagnosed(statistics, synchronizer_dropped=dropped, synchronizer={'anchor': 'front'})
    assert values_of(array, ': camera front')['dropped: out of order'] == '4'
    assert values_of(array, ': synchronizer')['anchor'] == 'front'


def test_sets_that_nobody_listened_to_are_no_warning():
    statistics = NodeStatistics(['front'])
    statistics.set_lost(NOBODY_LISTENS, {})
    assert levels_of(diagnosed(statistics))['inference'] == DiagnosticStatus.OK
    statistics.set_lost('internal error', {})
    assert levels_of(diagnosed(statistics))['inference'] == DiagnosticStatus.WARN


def test_losses_and_missing_motion_are_a_warning_while_they_happen():
    clock = Clock()
    statistics = NodeStatistics(['front'], clock)
    statistics.set_lost('superseded by a newer one', {})
    assert levels_of(diagnosed(statistics))['inference'] == DiagnosticStatus.WARN
    clock.now_s = 6.0
    assert levels_of(diagnosed(statistics))['inference'] == DiagnosticStatus.OK
    statistics.set_formed(['front'])
    statistics.set_published(['front'], {}, latency_s=0.1, with_odometry=False)
    array = diagnosed(statistics, motion='the odometry is broken')
    assert levels_of(array)['inference'] == DiagnosticStatus.WARN
    assert 'the odometry is broken' in {status.message for status in array.status}
    clock.now_s = 12.0
    assert levels_of(diagnosed(statistics))['inference'] == DiagnosticStatus.OK


def test_a_network_that_does_not_come_to_an_end_is_an_error():
    clock = Clock()
    statistics = NodeStatistics(['front'], clock)
    with statistics.at_work():
        assert levels_of(diagnosed(statistics))['occupancy'] == DiagnosticStatus.OK
        clock.now_s = 3.0
        assert levels_of(diagnosed(statistics))['occupancy'] == DiagnosticStatus.ERROR
    assert levels_of(diagnosed(statistics))['occupancy'] == DiagnosticStatus.OK
