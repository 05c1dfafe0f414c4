from __future__ import annotations

import pytest

pytest.importorskip('diagnostic_msgs')
from diagnostic_msgs.msg import DiagnosticStatus

from selfocc_ros.diagnostics import diagnostic_array, values_of
from selfocc_ros.statistics import NodeStatistics


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def diagnosed(statistics, dropped=None):
    from builtin_interfaces.msg import Time

    model = {'backend': 'none', 'model': 'mock 0.1.0'}
    return diagnostic_array('surround', Time(), statistics, dropped or {}, model, active=True)


def test_each_frame_set_ends_in_one_place():
    statistics = NodeStatistics(['front', 'back'])
    for present in (2, 2, 1, 2):
        statistics.set_formed(present)
    statistics.set_published(with_odometry=True)
    statistics.set_published(with_odometry=False)
    statistics.set_lost('superseded by a newer one')
    values = values_of(diagnosed(statistics), ': inference')
    assert values['frame_sets'] == '4'
    assert values['published'] == '2'
    assert values['lost: superseded by a newer one'] == '1'
    assert values['in_progress'] == '1'
    assert values['published_without_odometry'] == '1'
    assert statistics.incomplete == 1


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
    levels = {status.name: status.level for status in array.status}
    assert levels['surround: camera front'] == DiagnosticStatus.WARN
    assert levels['surround: camera back'] == DiagnosticStatus.WARN
    assert levels['surround: inference'] == DiagnosticStatus.OK


def test_a_snapshot_stays_as_it_was():
    statistics = NodeStatistics(['front'])
    statistics.image_arrived('front')
    statistics.image_dropped('front', 'too dark')
    statistics.set_lost('late')
    taken = statistics.snapshot()
    statistics.image_arrived('front')
    statistics.image_dropped('front', 'too small')
    statistics.set_lost('internal error')
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


def test_what_the_synchroniser_dropped_is_told():
    array = diagnosed(NodeStatistics(['front']), {'out of order': 3})
    assert values_of(array, ': synchronizer')['images dropped: out of order'] == '3'
