"""Progress of long work: a bar on a terminal, a line every few seconds in a log."""

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
        if time.monotonic() - printed_s >= _LOG_PERIOD_S:
            printed_s = time.monotonic()
            _print_line(description, count, total, printed_s - started_s)
    _print_line(description, count, total, time.monotonic() - started_s)


def _print_line(description: str, count: int, total: int | None, elapsed_s: float) -> None:
    of_total = f'/{total}' if total else ''
    print(f'{description}: {count}{of_total} ({elapsed_s:.0f} s)', file=sys.stderr, flush=True)
