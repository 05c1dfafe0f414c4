"""A bag of any size, read within bounds: all of a small one, moments of a large one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfocc_core.bags import BagMessage, BagReader

# What is read of a bag at most; a drive of a minute with six compressed cameras is smaller.
BUDGET_BYTES = 2 * 2**30

_WINDOWS = 8


@dataclass(frozen=True)
class Window:
    """A part of a drive, from ``start_ns`` up to ``stop_ns``."""

    start_ns: int
    stop_ns: int


class SampledBag(BagReader):
    """A bag of which only some windows are read, evenly spread, so that reading is bounded.

    Args:
        path: The bag.
        budget_bytes: How much is read of it, about.

    Attributes:
        share: The part of the drive that is read.
    """

    def __init__(self, path: Path | str, budget_bytes: int = BUDGET_BYTES) -> None:
        super().__init__(path)
        self.share = min(1.0, budget_bytes / max(1, _size_bytes(self.path)))

    @property
    def windows(self) -> list[Window]:
        """The parts of the drive that are read; one if that is all of it."""
        start_ns, stop_ns = self.start_ns, self.end_ns + 1
        if self.is_whole:
            return [Window(start_ns, stop_ns)]
        length_ns = round((stop_ns - start_ns) * self.share / _WINDOWS)
        room_ns = stop_ns - start_ns - length_ns
        starts_ns = [start_ns + room_ns * index // (_WINDOWS - 1) for index in range(_WINDOWS)]
        return [Window(first_ns, first_ns + length_ns) for first_ns in starts_ns]

    @property
    def is_whole(self) -> bool:
        """Whether everything is read."""
        return self.share >= 1.0

    def messages(self, topics: Sequence[str] | None = None) -> Iterator[BagMessage]:
        """Yield the messages on the topics in all windows, in the order of recording.

        Raises:
            SelfOccError: The bag turns out to be damaged.
        """
        for window in self.windows:
            yield from self.within(window, topics)

    def within(self, window: Window, topics: Sequence[str] | None = None) -> Iterator[BagMessage]:
        """Yield the messages on the topics in one window.

        Raises:
            SelfOccError: The bag turns out to be damaged.
        """
        connections = self._connections(topics)
        if not connections:
            return
        try:
            found = self._reader.messages(connections, window.start_ns, window.stop_ns)
            for connection, stamp_ns, raw in found:
                yield BagMessage(connection.topic, connection.msgtype, stamp_ns, bytes(raw))
        except GeneratorExit:
            raise
        except Exception as error:
            raise self._damaged() from error


def _size_bytes(path: Path) -> int:
    """Return what a bag takes on disk; nothing of one that is not there."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
