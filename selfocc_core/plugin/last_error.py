"""Why a plugin refused, for the messages of those who asked TensorRT to use it.

TensorRT's bindings print what a method of a Python plugin raises, and tell their caller only that
it failed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from selfocc_core.errors import sentence_of

_P = ParamSpec('_P')
_R = TypeVar('_R')

_last: list[str] = []  # one sentence at most


def keeping_error(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return a method of a plugin that keeps what it raises for :func:`take_last_error`."""

    @functools.wraps(method)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            _last[:] = [sentence_of(error)]
            raise

    return call


def take_last_error() -> str | None:
    """Return the sentence of the last error that a plugin raised, once; ``None`` if none did."""
    return _last.pop() if _last else None
