"""The one way loops are compiled for the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from selfocc_core.errors import SelfOccError

Function = TypeVar('Function', bound=Callable[..., object])

# Sums may be reordered and fused. Not-a-number and infinity keep their meaning: comparisons with
# them guard memory accesses.
_FAST: dict[str, Any] = {'fastmath': {'reassoc', 'contract', 'nsz'}}


def compiled(function: Function) -> Function:
    """Compile a kernel with numba: releases the GIL, cached on disk, strict float order."""
    return _compile(function)


def compiled_fast(function: Function) -> Function:
    """Compile a kernel as ``compiled`` does, with sums in whatever order is fastest."""
    return _compile(function, **_FAST)


def _compile(function: Function, **options: Any) -> Function:
    try:
        import numba
    except ImportError as error:
        raise SelfOccError(
            'compiled loops need numba: pip install "selfocc_ros[synth]"'
        ) from error
    return cast(
        'Function', numba.njit(nogil=True, cache=True, error_model='numpy', **options)(function)
    )
