"""The result of a benchmark for people."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from training.benchmark.scores import NEAR_M, SEMANTIC_CLASSES

_NARROWEST = 118

_NEAR = f'0-{NEAR_M:g} m'
_DEPTH = {
    'AbsRel ↓': ('abs_rel',),
    'δ<1.25 ↑': ('delta1',),
    'median ↓': ('median_rel',),
    'RMSE m ↓': ('rmse',),
    'δ<1.25, above ground ↑': ('above_ground', 'delta1'),
    'median, above ground ↓': ('above_ground', 'median_rel'),
}
_SEMANTICS = {
    'mIoU, all classes ↑': ('semantics', 'miou', 'all'),
    'mIoU without "other" ↑': ('semantics', 'miou', 'without_others'),
    **{name: ('semantics', 'per_class', name) for name in SEMANTIC_CLASSES.names},
}
_OCCUPANCY = {
    'IoU ↑': ('iou',),
    f'IoU < {NEAR_M:g} m ↑': ('by_range', _NEAR, 'iou'),
    'IoU obstacles ↑': ('iou_obstacles',),
    f'obstacles < {NEAR_M:g} m ↑': ('by_range', _NEAR, 'iou_obstacles'),
    'F at 0.8 m ↑': ('f_score_0_8m',),
    'RayIoU ↑': ('ray_iou',),
}


def print_tables(result: Mapping[str, Any]) -> None:
    """Print depth and occupancy of the model and the baselines, mean ± standard deviation."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _NARROWEST
    console = Console(width=max(width, _NARROWEST))
    rows = {result['model']['name']: result['model'], **result['baselines']}
    worlds = f'{len(result["seeds"])} worlds, mean ± standard deviation between worlds'
    for title, kind, columns in (
        ('Depth within the volume', 'depth', _DEPTH),
        ('Occupancy of visible voxels', 'occupancy', _OCCUPANCY),
        ('Classes of visible voxels, IoU', 'occupancy', _SEMANTICS),
    ):
        shown = {n: s for n, s in rows.items() if _has(s[kind], columns)}
        if not shown:
            continue
        table = Table(title=f'{title}: {worlds}', title_justify='left')
        table.add_column(no_wrap=True)
        for column in columns:
            table.add_column(column, justify='right')
        for name, scores in shown.items():
            spread = scores['standard_deviation'][kind]
            cells = [_cell(_at(scores[kind], p), _at(spread, p)) for p in columns.values()]
            table.add_row(name, *cells)
        console.print(table)


def _has(scores: Any, columns: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether scores have what the columns show."""
    return all(path[0] in scores for path in columns.values())


def _at(scores: Any, path: tuple[str, ...]) -> float | None:
    for name in path:
        scores = scores[name]
    value: float | None = scores
    return value


def _cell(mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return '–'
    return f'{mean:.3f}' if deviation is None else f'{mean:.3f} ±{deviation:.3f}'
