"""A thread that works on the newest item and never falls behind."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread
from typing import Generic, TypeVar

from selfocc_core.errors import SelfOccError

Item = TypeVar('Item')

_PATIENCE_S = 10.0


class LatestOnlyWorker(Generic[Item]):
    """Works on one item at a time; of those that come meanwhile, only the newest waits.

    Args:
        work: Called in the thread with each item; must not raise.
        superseded: Called with each item that a newer one replaced before its turn.
    """

    def __init__(self, work: Callable[[Item], None], superseded: Callable[[Item], None]) -> None:
        self._work, self._superseded = work, superseded
        self._waiting: list[Item] = []
        self._stopped = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name='inference', daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> None:
        """Hand over an item; returns at once."""
        with self._changed:
            replaced, self._waiting = self._waiting, [item]
            self._changed.notify()
        for old in replaced:
            self._superseded(old)

    def stop(self) -> list[Item]:
        """Finish the item at work, end the thread, and return what was still waiting.

        Raises:
            SelfOccError: The work does not come to an end.
        """
        with self._changed:
            self._stopped = True
            unworked, self._waiting = self._waiting, []
            self._changed.notify()
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            raise SelfOccError(
                f'inference has not come to an end for {_PATIENCE_S:g} s: start the node again'
            )
        return unworked

    def _run(self) -> None:
        while (item := self._next()) is not None:
            self._work(item)

    def _next(self) -> Item | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._waiting)
            return self._waiting.pop() if self._waiting else None
