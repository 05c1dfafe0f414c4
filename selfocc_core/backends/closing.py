"""Giving back what cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol


class Closable(Protocol):
    """What holds something to give back."""

    def close(self) -> None:
        """Give it back."""


@contextmanager
def closed_on_error(opened: Closable) -> Iterator[None]:
    """Close something if the block raises; what closing raises must not hide why."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            opened.close()
        raise
