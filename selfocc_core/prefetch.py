"""Work ahead in a thread: the next items are made while the last one is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeVar, cast

Item = TypeVar('Item')

_END = object()
_PATIENCE_S = 0.02


def prefetched(items: Iterator[Item], ahead: int) -> Iterator[Item]:
    """Yield the items of an iterator that another thread runs, at most so many ahead.

    What the iterator raises is raised here, in its place. When nobody wants more, it is closed.
    """
    queue: Queue[Any] = Queue(ahead)
    stopped = Event()
    thread = Thread(target=_fill, args=(items, queue, stopped), name='prefetch', daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not _END:
            if isinstance(item, _Raised):
                raise item.error
            yield cast('Item', item)
    finally:
        stopped.set()
        _drain(queue, thread)


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def _fill(items: Iterator[Any], queue: Queue[Any], stopped: Event) -> None:
    try:
        for item in items:
            queue.put(item)
            if stopped.is_set():
                break
    except BaseException as error:  # it belongs to the thread that asks
        queue.put(_Raised(error))
    finally:
        close = getattr(items, 'close', None)
        if close is not None:
            close()
        queue.put(_END)


def _drain(queue: Queue[Any], thread: Thread) -> None:
    """Take what the filling thread brings until it ends: it must never wait for room."""
    while thread.is_alive():
        with suppress(Empty):
            queue.get(timeout=_PATIENCE_S)
