"""The report of an evaluation as Markdown: the numbers, to paste wherever people talk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfocc_core.evaluation.depth_protocol import DEPTH_PROTOCOLS

_DEPTH = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'delta_1', 'delta_2', 'delta_3', 'median_rel')
_OCCUPANCY = ('iou', 'precision', 'recall')

Scores = Mapping[str, Any]


def markdown_report(title: str, metrics: Scores) -> str:
    """Return the report of ``metrics.json``.

    Args:
        title: Its heading.
        metrics: Content of ``metrics.json``.
    """
    machine = metrics['machine']
    parts = [
        f'# {title}',
        f'Model {metrics["model"]} on {metrics["backend"]}; {machine["cpu"]}, '
        f'{machine["cores"]} cores; selfocc {metrics["version"]}.',
        f'{metrics["frames_published"]} of {metrics["frame_sets"]} frame sets, '
        f'{metrics["images_published"]} images.',
        *_occupancy_part(metrics['occupancy']),
        *_depth_part(metrics['depth']),
        *_dropped_part(metrics['dropped']),
    ]
    return '\n\n'.join(parts) + '\n'


def _occupancy_part(scores: Scores | None) -> list[str]:
    if scores is None:
        return ['## Occupancy', 'The drive knows no true occupancy.']
    flat = scores['baselines']['flat_ground']
    rows = [
        ['everything', *_cells(scores, _OCCUPANCY), *_cells(flat, ('iou',))],
        [
            'obstacles',
            *_cells(scores['obstacles'], _OCCUPANCY),
            *_cells(flat['obstacles'], ('iou',)),
        ],
    ]
    for kind in ('by_range', 'by_camera', 'by_height'):
        rows += [
            [f'obstacles, {name}', *_cells(of['obstacles'], _OCCUPANCY), '']
            for name, of in scores[kind].items()
        ]
    note = f'{scores["moments"]} moments; truth: {scores["truth"]}.'
    interval = _interval(
        'IoU of obstacles', (scores['intervals'].get('obstacles') or {}).get('iou')
    )
    ray = f'RayIoU {_number(scores["ray_iou"])}, flat ground {_number(flat["ray_iou"])}.'
    table = _table(['', 'IoU', 'precision', 'recall', 'flat ground IoU'], rows)
    return ['## Occupancy', f'{note} {ray}{interval}', table]


def _depth_part(scores: Scores | None) -> list[str]:
    if scores is None:
        return ['## Depth', 'The drive knows no true depth.']
    flat = scores['baselines']['flat_ground']
    rows = [
        ['model', *_cells(scores, _DEPTH)],
        ['flat ground', *_cells(flat, _DEPTH)],
        ['model, in the volume', *_cells(scores['in_volume'], _DEPTH)],
        ['flat ground, in the volume', *_cells(flat['in_volume'], _DEPTH)],
    ]
    for kind in ('by_range', 'by_camera'):
        rows += [[name, *_cells(of, _DEPTH)] for name, of in scores[kind].items()]
    protocols = [
        [f'{name} ({DEPTH_PROTOCOLS[name].source})', *_cells(of, _DEPTH)]
        for name, of in scores['protocols'].items()
    ]
    truth = {'lidar': 'LiDAR', 'ground_truth': 'rendered depth'}[scores['truth']]
    interval = _interval('AbsRel', scores['intervals'].get('abs_rel'))
    return [
        '## Depth',
        f'{scores["images"]} images against {truth}, 0.5 to 80 m, not scaled.{interval}',
        _table(['', *_DEPTH], rows),
        'Under the protocols of the field:',
        _table(['', *_DEPTH], protocols),
    ]


def _dropped_part(dropped: Mapping[str, int]) -> list[str]:
    if not dropped:
        return ['Nothing was dropped.']
    return ['## Dropped', _table(['', 'count'], [[k, str(n)] for k, n in sorted(dropped.items())])]


def _interval(name: str, interval: Sequence[float] | None) -> str:
    if interval is None:
        return ' The drive is too short for intervals.'
    return f' {name}: 95 % interval {interval[0]:.3f} to {interval[1]:.3f}.'


def _cells(scores: Scores, names: Sequence[str]) -> list[str]:
    return [_number(scores.get(name)) for name in names]


def _number(value: float | None) -> str:
    return '–' if value is None else f'{value:.3f}'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
