"""A thread that takes the cameras' messages in the order of their arrival."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from threading import Condition, Thread

_LIMIT = 4  # messages of one camera that may wait; more than that is old news
_BEAT_S = 0.01


class IntakeWorker:
    """Keeps decoding and resizing away from the thread that receives.

    Args:
        work: Called in the thread with the camera and each message; must not raise.
        beat: Called in the thread every few milliseconds; must not raise.
        overflow: Called with the camera of each message for which there was no time.
    """

    def __init__(
        self,
        work: Callable[[str, bytes], None],
        beat: Callable[[], None],
        overflow: Callable[[str], None],
    ) -> None:
        self._work, self._beat, self._overflow = work, beat, overflow
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._stopped = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name='intake', daemon=True)
        self._thread.start()

    def submit(self, camera: str, message: bytes) -> None:
        """Hand over a message; returns at once."""
        with self._changed:
            self._waiting.append((camera, message))
            crowded = sum(name == camera for name, _ in self._waiting) > _LIMIT
            if crowded:
                self._remove_oldest(camera)
            self._changed.notify()
        if crowded:
            self._overflow(camera)

    def stop(self) -> Mapping[str, int]:
        """Finish the message at work, end the thread, and return what was still waiting."""
        with self._changed:
            self._stopped = True
            unworked = Counter(name for name, _ in self._waiting)
            self._waiting.clear()
            self._changed.notify()
        self._thread.join()
        return unworked

    def _remove_oldest(self, camera: str) -> None:
        index = next(i for i, (name, _) in enumerate(self._waiting) if name == camera)
        del self._waiting[index]

    def _run(self) -> None:
        while not self._stopped:
            item = self._next()
            if item is not None:
                self._work(*item)
            self._beat()

    def _next(self) -> tuple[str, bytes] | None:
        with self._changed:
            if not self._waiting and not self._stopped:
                self._changed.wait(_BEAT_S)
            return self._waiting.popleft() if self._waiting else None
