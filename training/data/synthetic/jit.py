"""The one way kernels of the renderer are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from selfocc_core.errors import SelfOccError

Function = TypeVar('Function', bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a kernel with numba: releases the GIL, cached on disk, strict float order."""
    try:
        import numba
    except ImportError as error:
        raise SelfOccError(
            'the generated world needs numba: pip install "selfocc_ros[synth]"'
        ) from error
    return cast('Function', numba.njit(nogil=True, cache=True, error_model='numpy')(function))
