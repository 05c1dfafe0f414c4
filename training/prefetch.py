"""The next sample is made while the network learns from the present one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar('Item')


class Prefetch(Generic[Item]):
    """Makes items of one number after the other, one ahead, in a thread of its own.

    Items depend on their number alone, so that they are the same with and without it.

    Args:
        make: Makes the item of a number; called from one thread at a time.
    """

    def __init__(self, make: Callable[[int], Item]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(1, 'prefetch')
        self._ahead: dict[int, Future[Item]] = {}

    def get(self, number: int) -> Item:
        """Return the item of a number and start on the next."""
        wanted = self._ahead.get(number) or self._pool.submit(self._make, number)
        self._ahead = {number + 1: self._pool.submit(self._make, number + 1)}
        return wanted.result()
