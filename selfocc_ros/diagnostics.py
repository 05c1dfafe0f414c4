"""The node's state as ``diagnostic_msgs`` (REP-107): one status for each camera and stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from selfocc_ros.statistics import CameraCounters, NodeStatistics

_SILENT_AFTER_S = 1.0


def diagnostic_array(
    node: str,
    stamp: Any,
    statistics: NodeStatistics,
    synchronizer_dropped: Mapping[str, int],
    inference: Mapping[str, str],
    active: bool,
) -> DiagnosticArray:
    """Return the state of the node.

    Args:
        node: Name of the node, first part of each status name.
        stamp: ``builtin_interfaces/Time`` of now.
        statistics: The counts.
        synchronizer_dropped: Images that got into no frame set, by reason.
        inference: Backend and model.
        active: Whether images are expected.
    """
    statistics = statistics.snapshot()  # the inference thread counts on meanwhile
    statuses = [
        _camera_status(f'{node}: camera {name}', counters, statistics.clock_s(), active)
        for name, counters in statistics.cameras.items()
    ]
    statuses.append(
        _synchronizer_status(f'{node}: synchronizer', statistics, synchronizer_dropped)
    )
    statuses.append(_inference_status(f'{node}: inference', statistics, inference, active))
    array = DiagnosticArray(status=statuses)
    array.header.stamp = stamp
    return array


def values_of(array: Any, suffix: str) -> dict[str, str]:
    """Return the key-values of the status whose name ends with ``suffix``; empty if none does."""
    for status in array.status:
        if status.name.endswith(suffix):
            return {value.key: value.value for value in status.values}
    return {}


def _camera_status(
    name: str, counters: CameraCounters, now_s: float, active: bool
) -> DiagnosticStatus:
    age_s = counters.age_s(now_s)
    if active and age_s is None:
        level, text = DiagnosticStatus.WARN, 'no image yet: check the topic name and its driver'
    elif active and age_s is not None and age_s > _SILENT_AFTER_S:
        level, text = DiagnosticStatus.WARN, f'no image for {age_s:.1f} s'
    elif counters.dropped:
        level, text = DiagnosticStatus.WARN, 'some images cannot be used'
    else:
        level, text = DiagnosticStatus.OK, 'receiving' if active else 'not active'
    values = {
        'received': counters.received,
        'rate_hz': f'{counters.rate_hz():.2f}',
        'age_s': 'none' if age_s is None else f'{age_s:.3f}',
        **{f'dropped: {reason}': count for reason, count in counters.dropped.items()},
    }
    return _status(level, name, text, values)


def _synchronizer_status(
    name: str, statistics: NodeStatistics, dropped: Mapping[str, int]
) -> DiagnosticStatus:
    values = {
        'frame_sets': statistics.formed,
        'frame_sets_incomplete': statistics.incomplete,
        **{f'images dropped: {reason}': count for reason, count in sorted(dropped.items())},
    }
    if statistics.incomplete:
        return _status(DiagnosticStatus.WARN, name, 'frame sets lack cameras', values)
    return _status(DiagnosticStatus.OK, name, 'frame sets are complete', values)


def _inference_status(
    name: str, statistics: NodeStatistics, inference: Mapping[str, str], active: bool
) -> DiagnosticStatus:
    values: dict[str, object] = {
        **inference,
        'frame_sets': statistics.formed,
        'published': statistics.published,
        'in_progress': statistics.in_progress,
        'published_without_odometry': statistics.without_odometry,
        **{f'lost: {reason}': count for reason, count in sorted(statistics.lost.items())},
    }
    for stage, (p50_ms, p95_ms) in statistics.stages_ms().items():
        values |= {f'{stage}_ms_p50': f'{p50_ms:.2f}', f'{stage}_ms_p95': f'{p95_ms:.2f}'}
    if statistics.lost:
        reasons = ', '.join(sorted(statistics.lost))
        return _status(DiagnosticStatus.WARN, name, f'frame sets were lost: {reasons}', values)
    return _status(DiagnosticStatus.OK, name, 'running' if active else 'not active', values)


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
