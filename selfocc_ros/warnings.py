"""Warnings that repeat, said now and then."""

from __future__ import annotations

import time
from collections.abc import Hashable
from threading import Lock
from typing import Any

_PERIOD_S = 5.0
_MOST_KINDS = 256


class Warnings:
    """Logs each kind of warning at most every five seconds, so that none hides another.

    Args:
        logger: The node's logger.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._said_s: dict[Hashable, float] = {}
        self._lock = Lock()

    def warn(self, kind: Hashable, sentence: str) -> None:
        """Log a sentence, unless one of its kind was logged just now; from any thread."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._said_s.get(kind, -_PERIOD_S) < _PERIOD_S:
                return
            if len(self._said_s) >= _MOST_KINDS:
                self._said_s.clear()
            self._said_s[kind] = now_s
        self._logger.warning(sentence)
