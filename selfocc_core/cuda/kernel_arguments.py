"""Arguments of a kernel, as ``cuLaunchKernel`` reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class KernelArguments:
    """An array of addresses, one for each argument; lives until the launch has returned.

    Args:
        arguments: Numpy scalars of exactly the parameters' types.
    """

    def __init__(self, arguments: Sequence[np.generic]) -> None:
        self._values = [np.array(argument) for argument in arguments]
        self._addresses: NDArray[np.uint64] = np.array(
            [value.ctypes.data for value in self._values], np.uint64
        )

    @property
    def address(self) -> int:
        """Where the array of addresses lies; 0 of a kernel without arguments."""
        return self._addresses.ctypes.data if self._values else 0
