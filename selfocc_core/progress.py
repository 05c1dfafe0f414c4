"""Progress of long work: a bar on a terminal, a line every few seconds in a log.

Both tell how long it still takes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.progress import track as rich_track

Item = TypeVar('Item')

_LOG_PERIOD_S = 5.0


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items and show on stderr how far the work has come."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from rich_track(items, description, total=total)
        return
    yield from _logged(items, description, total)


def _logged(items: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    started_s = printed_s = time.monotonic()
    count = 0
    for count, item in enumerate(items, start=1):
        yield item
        if count != total and time.monotonic() - printed_s >= _LOG_PERIOD_S:
            printed_s = time.monotonic()
            _print_line(description, count, total, printed_s - started_s)
    _print_line(description, count, total, time.monotonic() - started_s)


def _print_line(description: str, count: int, total: int | None, elapsed_s: float) -> None:
    of_total = f'/{total}' if total else ''
    left = ''
    if total and 0 < count < total:
        left = f', {_duration(elapsed_s * (total - count) / count)} left'
    print(
        f'{description}: {count}{of_total} ({_duration(elapsed_s)}{left})',
        file=sys.stderr,
        flush=True,
    )


def _duration(seconds: float) -> str:
    """Return a duration as people say it: 42 s, 7:05 min, 3:20 h."""
    if seconds < 100:
        return f'{seconds:.0f} s'
    minutes = seconds / 60
    if minutes < 100:
        return f'{int(minutes)}:{int(seconds) % 60:02d} min'
    return f'{int(minutes // 60)}:{int(minutes) % 60:02d} h'
