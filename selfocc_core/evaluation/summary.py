"""The few numbers of a replay that a person wants to see first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_RUN = {
    'frames_in': 'frame sets formed',
    'frames_published': 'frame sets published',
    'latency_ms_p50': 'latency, median (ms)',
    'latency_ms_p95': 'latency, 95 % (ms)',
    'realtime_factor': 'pace of the replay (real time = 1)',
    'model': 'model',
    'backend': 'backend',
}
_OCCUPANCY = {('iou',): 'occupancy IoU', ('obstacles', 'iou'): 'occupancy IoU, obstacles'}
_DEPTH = {
    ('abs_rel',): 'depth AbsRel',
    ('in_volume', 'abs_rel'): 'depth AbsRel, within the volume',
    ('in_volume', 'rmse'): 'depth RMSE, within the volume (m)',
    ('in_volume', 'delta_1'): 'depth δ < 1.25, within the volume',
}


def summary_rows(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return rows of (what, model, flat ground) of the metrics of a replay."""
    rows = [(title, _shown(metrics[name]), '') for name, title in _RUN.items()]
    for group, names in (('occupancy', _OCCUPANCY), ('depth', _DEPTH)):
        scores = metrics[group]
        if scores is None:
            rows.append((group, 'no truth in this drive', ''))
            continue
        flat_ground = scores['baselines']['flat_ground']
        rows += [
            (title, _shown(_value(scores, path)), _shown(_value(flat_ground, path)))
            for path, title in names.items()
        ]
    return rows


def _value(scores: Mapping[str, Any], path: tuple[str, ...]) -> object:
    value: Any = scores
    for name in path:
        value = value[name]
    return value


def _shown(value: object) -> str:
    if value is None:
        return '–'
    return f'{value:.3g}' if isinstance(value, float) else str(value)


def print_summary(metrics: Mapping[str, Any], title: str, files: Mapping[str, Path]) -> None:
    """Print the rows as a table, and where to find the rest."""
    from rich.console import Console
    from rich.table import Table

    table = Table('', 'model', 'flat ground', title=title)
    for row in summary_rows(metrics):
        table.add_row(*row)
    console = Console()
    console.print(table)
    for name, path in files.items():
        console.print(f'{name + ":":<9} {path}', soft_wrap=True)
