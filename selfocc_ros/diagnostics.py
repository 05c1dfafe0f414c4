"""The node's state as ``diagnostic_msgs`` (REP-107): the whole, each camera, each stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from selfocc_core.health import Health, Level
from selfocc_ros.statistics import NOBODY_LISTENS, CameraCounters, NodeStatistics

_LEVELS = {
    Level.OK: DiagnosticStatus.OK,
    Level.WARN: DiagnosticStatus.WARN,
    Level.ERROR: DiagnosticStatus.ERROR,
}
_AHEAD_S = 0.5
_RECENT_S = 5.0
_STUCK_AFTER_S = 2.0


@dataclass(frozen=True)
class Account:
    """What the diagnostics tell of.

    Attributes:
        statistics: The counts.
        health: The state of the cameras.
        synchronizer_dropped: Of each camera, images that got into no frame set, by reason.
        waiting: Of each camera, images in the synchroniser.
        synchronizer: Further key-values of the synchroniser.
        topics: Image topic of each camera.
        calibration: What is wrong with the calibration of cameras.
        motion: What is wrong with the odometry or /tf; empty if nothing is.
        inference: Backend and model.
        active: Whether images are expected.
    """

    statistics: NodeStatistics
    health: Health
    synchronizer_dropped: Mapping[str, Mapping[str, int]]
    waiting: Mapping[str, int]
    synchronizer: Mapping[str, object]
    topics: Mapping[str, str]
    calibration: Mapping[str, str]
    motion: str
    inference: Mapping[str, str]
    active: bool


def diagnostic_array(node: str, stamp: Any, account: Account) -> DiagnosticArray:
    """Return the state of the node.

    Args:
        node: Name of the node, first part of each status name.
        stamp: ``builtin_interfaces/Time`` of now.
        account: What there is to tell.
    """
    statuses = [_occupancy_status(f'{node}: occupancy', account)]
    statuses += [
        _camera_status(f'{node}: camera {name}', name, counters, account)
        for name, counters in account.statistics.cameras.items()
    ]
    statuses.append(_synchronizer_status(f'{node}: synchronizer', account))
    statuses.append(_inference_status(f'{node}: inference', account))
    array = DiagnosticArray(status=statuses)
    array.header.stamp = stamp
    return array


def unconfigured_array(node: str, stamp: Any, problem: str) -> DiagnosticArray:
    """Return the state of a node that could not be configured, and why."""
    array = DiagnosticArray(
        status=[_status(DiagnosticStatus.ERROR, f'{node}: occupancy', problem, {})]
    )
    array.header.stamp = stamp
    return array


def values_of(array: Any, suffix: str) -> dict[str, str]:
    """Return the key-values of the status whose name ends with ``suffix``; empty if none does."""
    status = status_named(array, suffix)
    return {} if status is None else {value.key: value.value for value in status.values}


def status_named(array: Any, suffix: str) -> Any:
    """Return the status whose name ends with ``suffix``; ``None`` if none does."""
    return next((status for status in array.status if status.name.endswith(suffix)), None)


def _occupancy_status(name: str, account: Account) -> DiagnosticStatus:
    statistics, health = account.statistics, account.health
    published_s = statistics.published_at_s
    values = {
        'published': statistics.published,
        'age_s': 'none' if published_s is None else f'{statistics.clock_s() - published_s:.3f}',
        'latency_s': 'none' if statistics.latency_s is None else f'{statistics.latency_s:.3f}',
        'mask': statistics.mask,
        'cameras_missing': ', '.join(health.problems),
    }
    if not account.active:
        return _status(DiagnosticStatus.OK, name, 'not active', values)
    if _is_within(statistics.working_since_s, _STUCK_AFTER_S, statistics) is False:
        text = f'inference has been at one frame set for more than {_STUCK_AFTER_S:g} s'
        return _status(DiagnosticStatus.ERROR, name, text, values)
    return _status(_LEVELS[health.level], name, health.sentence, values)


def _is_within(moment_s: float | None, seconds: float, statistics: NodeStatistics) -> bool | None:
    """Return whether a moment was so short a time ago; None if there was none."""
    return None if moment_s is None else statistics.clock_s() - moment_s <= seconds


def _camera_status(
    name: str, camera: str, counters: CameraCounters, account: Account
) -> DiagnosticStatus:
    statistics = account.statistics
    age_s, offset_s = counters.age_s(statistics.clock_s()), counters.clock_offset_s
    dropped = counters.dropped + Counter(account.synchronizer_dropped.get(camera, {}))
    values = {
        'topic': account.topics.get(camera, ''),
        'received': counters.received,
        'used': counters.used,
        'lost_on_the_way': counters.lost,
        'waiting': counters.in_intake + counters.in_sets + account.waiting.get(camera, 0),
        'rate_hz': f'{counters.rate_hz():.2f}',
        'age_s': 'none' if age_s is None else f'{age_s:.3f}',
        'clock_offset_s': 'none' if offset_s is None else f'{offset_s:.3f}',
        **{f'dropped: {reason}': count for reason, count in sorted(dropped.items())},
    }
    if camera in account.calibration:
        values['calibration'] = account.calibration[camera]
    level, text = _camera_state(camera, counters, offset_s, account)
    return _status(level, name, text, values)


def _camera_state(
    camera: str, counters: CameraCounters, offset_s: float | None, account: Account
) -> tuple[bytes, str]:
    if not account.active:
        return DiagnosticStatus.OK, 'not active'
    if camera in account.health.problems:
        return DiagnosticStatus.WARN, account.health.problems[camera]
    if camera in account.calibration:
        return DiagnosticStatus.WARN, account.calibration[camera]
    if counters.received == 0:
        return DiagnosticStatus.WARN, 'no image yet: check the topic name and its driver'
    if offset_s is not None and offset_s < -_AHEAD_S:
        text = f"its stamps are {-offset_s:.1f} s ahead of this computer's clock"
        return DiagnosticStatus.WARN, f'{text}: synchronise the clocks'
    return DiagnosticStatus.OK, 'receiving'


def _synchronizer_status(name: str, account: Account) -> DiagnosticStatus:
    statistics = account.statistics
    values = {
        'frame_sets': statistics.formed,
        'frame_sets_incomplete': statistics.incomplete,
        **account.synchronizer,
    }
    return _status(
        DiagnosticStatus.OK, name, 'running' if account.active else 'not active', values
    )


def _inference_status(name: str, account: Account) -> DiagnosticStatus:
    statistics = account.statistics
    values: dict[str, object] = {
        **account.inference,
        'frame_sets': statistics.formed,
        'published': statistics.published,
        'in_progress': statistics.in_progress,
        'published_without_odometry': statistics.without_odometry,
        **{f'lost: {reason}': count for reason, count in sorted(statistics.lost.items())},
    }
    for stage, (p50_ms, p95_ms) in statistics.stages_ms().items():
        values |= {f'{stage}_ms_p50': f'{p50_ms:.2f}', f'{stage}_ms_p95': f'{p95_ms:.2f}'}
    if not account.active:
        return _status(DiagnosticStatus.OK, name, 'not active', values)
    if _is_within(statistics.lost_at_s, _RECENT_S, statistics):
        reasons = ', '.join(sorted(statistics.lost.keys() - {NOBODY_LISTENS}))
        return _status(DiagnosticStatus.WARN, name, f'frame sets are lost: {reasons}', values)
    if _is_within(statistics.unmoved_at_s, _RECENT_S, statistics):
        text = account.motion or 'the motion of the vehicle is not known: publish its odometry'
        return _status(DiagnosticStatus.WARN, name, text, values)
    return _status(DiagnosticStatus.OK, name, 'running', values)


def _status(
    level: bytes, name: str, message: str, values: Mapping[str, object]
) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level,
        name=name,
        message=message,
        hardware_id='',
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
