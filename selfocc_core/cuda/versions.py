"""CUDA's version numbers."""

from __future__ import annotations

import ctypes

_RUNTIMES = ('libcudart.so.13', 'libcudart.so.12', 'libcudart.so')


def major_minor(number: int) -> tuple[int, int]:
    """Return major and minor of CUDA's way to write a version, for example 12060."""
    return number // 1000, number % 1000 // 10


def runtime_version() -> tuple[int, int] | None:
    """Return the version of the CUDA runtime library that the loader finds; ``None`` without."""
    for name in _RUNTIMES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        number = ctypes.c_int(0)
        if library.cudaRuntimeGetVersion(ctypes.byref(number)) == 0:
            return major_minor(number.value)
    return None
