"""The report of a replay: ``metrics.json`` for machines, ``report.html`` for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from selfocc_core import __version__
from selfocc_core.bags import BagReader
from selfocc_core.evaluation import page
from selfocc_core.evaluation.depth_protocol import DEPTH_PROTOCOLS
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.machine import this_machine
from selfocc_core.evaluation.markdown_report import markdown_report
from selfocc_core.evaluation.moments import select_moments
from selfocc_core.evaluation.recorded_results import index_of
from selfocc_core.evaluation.replay import ReplayStatistics
from selfocc_core.evaluation.replay_pictures import moment_section
from selfocc_core.evaluation.scoring import score_drive
from selfocc_core.files import write_atomically
from selfocc_core.model_card import ModelCard
from selfocc_core.shipped_model import MODELS

Scores = Mapping[str, Any]


def write_report(
    drive: Path, recording: Path, statistics: ReplayStatistics, out: Path
) -> dict[str, object]:
    """Score what a node published while a drive was replayed, and write the report.

    Args:
        drive: Bag that was replayed, with or without a truth.
        recording: Bag of the published topics, under ``/surround``.
        statistics: Counts and times of the replay.
        out: Folder for ``metrics.json`` and ``report.html``.

    Returns:
        The content of ``metrics.json``; what has no truth is ``None``.

    Raises:
        SelfOccError: A bag or the model is missing or damaged; then nothing is written.
    """
    card = ModelCard.load_for(_model_path(statistics.model))
    grid = card.grid.to_grid()
    replayed, index = read_drive(drive), index_of(recording)
    _, scores = score_drive(replayed, recording, card)
    metrics = _metrics(statistics, card, scores)
    moments = select_moments(replayed, recording, index, card)
    with BagReader(drive) as bag:
        start_ns = bag.start_ns
    pictures = [
        moment_section(number, moment, replayed.rig, grid, start_ns)
        for number, moment in enumerate(moments, start=1)
    ]
    html = _page(drive, metrics, statistics, card, pictures)
    json_text = json.dumps(metrics, indent=2, allow_nan=False) + '\n'
    write_atomically(out / 'metrics.json', json_text.encode())
    write_atomically(out / 'report.html', html.encode())
    markdown = markdown_report(f'{drive.name}, {card.name} {card.version}', metrics)
    write_atomically(out / 'report.md', markdown.encode())
    return metrics


def _model_path(model: str) -> Path:
    """Return the path of a model given by path or by the name of a shipped one."""
    return Path(model) if model.endswith('.onnx') else MODELS / f'{model}.onnx'


def _metrics(statistics: ReplayStatistics, card: ModelCard, scores: Scores) -> dict[str, object]:
    occupancy, depth = scores['occupancy'], scores['depth']
    return {
        'frames_in': statistics.frame_sets,
        'frames_published': statistics.frames_published,
        'occupancy_iou': occupancy['iou'] if occupancy else None,
        'depth_abs_rel': depth['abs_rel'] if depth else None,
        'depth_abs_rel_in_volume': depth['in_volume']['abs_rel'] if depth else None,
        'latency_ms_p50': _percentile(statistics.latency_ms, 50),
        'latency_ms_p95': _percentile(statistics.latency_ms, 95),
        'backend': statistics.backend,
        'model': card.name,
        'model_sha256': card.onnx_sha256,
        'version': __version__,
        'images_published': statistics.images_published,
        'frame_sets': statistics.frame_sets,
        'dropped': dict(statistics.dropped),
        'realtime_factor': _finite(statistics.realtime_factor),
        'inference_share': statistics.inference_share,
        'occupancy': occupancy,
        'depth': depth,
        'consistency': scores['consistency'],
        'machine': this_machine(),
    }


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return _finite(float(np.percentile(values, percent))) if values else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _page(
    drive: Path,
    metrics: Mapping[str, Any],
    statistics: ReplayStatistics,
    card: ModelCard,
    pictures: Sequence[str],
) -> str:
    machine = metrics['machine']
    subtitle = (
        f'{drive.name} replayed into the node. Model {card.name} {card.version} on '
        f'{statistics.backend}; {machine["cpu"]}, {machine["cores"]} cores.'
    )
    body = [
        _headline(metrics),
        _occupancy_section(metrics['occupancy']),
        _depth_section(metrics['depth']),
        _consistency_section(metrics['consistency']),
        *pictures,
        _runtime_section(metrics, statistics),
        page.section('Model card', f'<pre>{escape(card.model_dump_json(indent=2))}</pre>'),
    ]
    return page.page('selfocc replay report', subtitle, body)


def _headline(metrics: Mapping[str, Any]) -> str:
    occupancy, depth = metrics['occupancy'], metrics['depth']
    return page.tiles(
        [
            ('Occupancy IoU', _number(metrics['occupancy_iou']), _baseline(occupancy, 'iou')),
            ('Depth AbsRel', _number(metrics['depth_abs_rel']), _baseline(depth, 'abs_rel')),
            (
                'Frame sets published',
                f'{metrics["frames_published"]} of {metrics["frames_in"]}',
                f'{metrics["images_published"]} images sent',
            ),
            (
                'Latency, median',
                _number(metrics['latency_ms_p50'], 0, ' ms'),
                f'95 %: {_number(metrics["latency_ms_p95"], 0, " ms")}',
            ),
            ('Played at', _number(metrics['realtime_factor'], 2, ' x'), 'of real time'),
        ]
    )


def _baseline(scores: Scores | None, name: str) -> str:
    if scores is None:
        return 'the drive has no truth'
    return f'flat ground: {_number(scores["baselines"]["flat_ground"][name])}'


def _number(value: float | None, digits: int = 3, unit: str = '') -> str:
    return '–' if value is None else f'{value:.{digits}f}{unit}'


def _occupancy_section(scores: Scores | None) -> str:
    if scores is None:
        return page.section('Occupancy', page.paragraph('The drive has no true voxels.'))
    baseline = scores['baselines']['flat_ground']
    places = {'everywhere': (scores, baseline)} | {
        name: (scores['by_range'][name], baseline['by_range'][name]) for name in scores['by_range']
    }
    note = (
        f'{scores["moments"]} moments, voxels that a camera sees; counts accumulated before the '
        'ratios. Flat ground: every voxel below z = 0 is occupied. Obstacles: without road, '
        'sidewalk and terrain and the voxel above and below these.'
    ) + _interval(' IoU of obstacles', scores['intervals']['obstacles']['iou'])
    header = ['', *_PAIRED, *(f'obstacles: {name}' for name in _PAIRED)]
    rows = [
        [place, *_compared(model, base), *_compared(model['obstacles'], base['obstacles'])]
        for place, (model, base) in places.items()
    ]
    return page.section('Occupancy', page.paragraph(note), page.table(header, rows))


_PAIRED = ('IoU', 'flat ground', 'precision', 'recall')


def _compared(model: Scores, baseline: Scores) -> list[str]:
    better = (model['iou'] or 0.0) > (baseline['iou'] or 0.0)
    return [
        ('*' if better else '') + _number(model['iou']),
        _number(baseline['iou']),
        _number(model['precision']),
        _number(model['recall']),
    ]


_DEPTH_COLUMNS = {
    'abs_rel': 'AbsRel',
    'sq_rel': 'SqRel',
    'rmse': 'RMSE (m)',
    'rmse_log': 'RMSE log',
    'delta_1': 'δ < 1.25',
    'delta_2': 'δ < 1.25²',
    'delta_3': 'δ < 1.25³',
}


def _depth_section(scores: Scores | None) -> str:
    if scores is None:
        return page.section('Depth', page.paragraph('The drive has no true depth and no LiDAR.'))
    source = {'lidar': 'LiDAR points', 'ground_truth': 'rendered depth'}[scores['truth']]
    note = (
        f'{scores["images"]} images against {source} between 0.5 and 80 m; metric, without median '
        'scaling; where nothing is met, the depth at which the ray leaves the volume counts. Flat '
        'ground: the plane z = 0, else the same exit from the volume.'
    )
    baseline = scores['baselines']['flat_ground']
    rows = [
        _depth_row('model', scores, baseline),
        _depth_row('flat ground', baseline),
        _depth_row('model, truth within the volume', scores['in_volume'], baseline['in_volume']),
        _depth_row('flat ground, truth within the volume', baseline['in_volume']),
        *(_depth_row(f'model, {name}', row) for name, row in scores['by_range'].items()),
        *(_depth_row(f'model, {name}', row) for name, row in scores['by_camera'].items()),
    ]
    protocols = [
        _depth_row(f'{name}: {DEPTH_PROTOCOLS[name].source}', of)
        for name, of in scores['protocols'].items()
    ]
    header = ['', *_DEPTH_COLUMNS.values()]
    return page.section(
        'Depth',
        page.paragraph(note + _interval(' AbsRel', scores['intervals'].get('abs_rel'))),
        page.table(header, rows),
        page.paragraph('The same images under the protocols of the field:'),
        page.table(header, protocols),
    )


def _interval(name: str, interval: Sequence[float] | None) -> str:
    if interval is None:
        return ''
    return f'{name}: 95 % interval {interval[0]:.3f} to {interval[1]:.3f}, blocks of 5 s.'


def _depth_row(title: str, errors: Scores, rival: Scores | None = None) -> list[str]:
    cells = [title]
    for name in _DEPTH_COLUMNS:
        value, other = errors[name], rival[name] if rival else None
        larger_is_better = name.startswith('delta')
        wins = None not in {value, other} and (value > other) == larger_is_better
        cells.append(('*' if wins else '') + _number(value))
    return cells


def _consistency_section(scores: Scores | None) -> str:
    if scores is None:
        note = 'Without odometry moments cannot be compared.'
        return page.section('Consistency', page.paragraph(note))
    photometric, temporal = scores['photometric'], scores['temporal']
    note = (
        'Needs no truth. Photometric: how unlike an image is to one 0.3 s later, brought to it by '
        'the depth and the odometry. Temporal: what of two moments agrees, moved by the odometry.'
    )
    guesses = [[name, _number(photometric[name])] for name in _GUESSES]
    agreement = [
        ['moved by the odometry', _number(temporal['iou']), _number(temporal['agreement'])],
        ['left in place', *(_number(temporal['without_motion'][n]) for n in ('iou', 'agreement'))],
    ]
    return page.section(
        'Consistency',
        page.paragraph(note),
        page.table(['photometric error by the depth of', ''], guesses),
        page.table(['occupancy of two moments', 'IoU', 'equal states'], agreement),
    )


_GUESSES = ('model', 'flat_ground', 'no_motion')


def _runtime_section(metrics: Mapping[str, Any], statistics: ReplayStatistics) -> str:
    parts = [page.paragraph('From the complete frame set to the published occupancy.')]
    if statistics.latency_ms:
        marks = [
            (f'{name} {metrics[key]:.0f} ms', metrics[key])
            for name, key in (('p50', 'latency_ms_p50'), ('p95', 'latency_ms_p95'))
        ]
        parts.append(page.histogram(statistics.latency_ms, 'ms', marks))
    dropped = [[reason, str(count)] for reason, count in sorted(statistics.dropped.items())]
    parts.append(page.table(['dropped, by reason', 'count'], dropped or [['nothing', '0']]))
    return page.section('Latency and drops', *parts)
