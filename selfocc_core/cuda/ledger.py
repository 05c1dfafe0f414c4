"""What was taken from CUDA and has to be given back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from selfocc_core.errors import SelfOccError


class Ledger:
    """Resources in the order in which they were taken, each with the call that gives it back."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], Callable[[], object]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, kind: str, handle: int, give_back: Callable[[], object]) -> int:
        """Enter a resource and return its handle."""
        self._open[kind, handle] = give_back
        return handle

    def give_back(self, kind: str, handle: int) -> None:
        """Give one resource back.

        Raises:
            SelfOccError: It is not open, or CUDA refuses; it counts as given back all the same.
        """
        release = self._open.pop((kind, handle), None)
        if release is None:
            raise SelfOccError(f'{kind} {handle:#x} is not open: it was given back before')
        release()

    def close(self) -> None:
        """Give everything back, the newest first.

        Raises:
            SelfOccError: CUDA refused one of them; the others were given back all the same.
        """
        give_back_all(self._newest_first())

    def _newest_first(self) -> Iterator[Callable[[], object]]:
        while self._open:
            _, release = self._open.popitem()
            yield release


def give_back_all(releases: Iterable[Callable[[], object]]) -> None:
    """Call what gives resources back, one after the other.

    Raises:
        SelfOccError: The first error; the others were called all the same.
    """
    failure: SelfOccError | None = None
    for release in releases:
        try:
            release()
        except SelfOccError as error:
            failure = failure or error
    if failure is not None:
        raise failure
