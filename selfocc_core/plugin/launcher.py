"""Kernels on the GPU, through the one CUDA layer of this project."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from selfocc_core.plugin.nvrtc import compile_cubin
from selfocc_core.plugin.source import kernel_source
from selfocc_core.plugin.specialization import THREADS_PER_BLOCK, Specialization

if TYPE_CHECKING:
    from selfocc_core.cuda.driver import CudaDriver


@dataclass(frozen=True)
class LoadedKernel:
    """A kernel that is ready to run.

    Attributes:
        driver: The device that it was loaded on.
        function: Handle of the kernel.
        blocks: How many blocks cover all of the work.
    """

    driver: CudaDriver
    function: int
    blocks: int

    def launch(self, pointers: Sequence[int], stream: int) -> None:
        """Enqueue it.

        Args:
            pointers: Addresses on the device, of the inputs and then of the result.
            stream: Handle of the CUDA stream.

        Raises:
            SelfOccError: CUDA refuses.
        """
        arguments = [np.uint64(pointer) for pointer in pointers]
        with self.driver.current():
            self.driver.launch(
                self.function, (self.blocks, 1, 1), (THREADS_PER_BLOCK, 1, 1), arguments, stream
            )


def compile_for_device(kernel: Specialization) -> bytes:
    """Return the machine code of a kernel for the GPU of this machine.

    Raises:
        SelfOccError: There is no GPU, or no compiler that knows it.
    """
    info = _device().info
    return compile_cubin(kernel_source(kernel), info.architecture, info.driver_version)


@functools.cache
def load_kernel(cubin: bytes, kernel: Specialization) -> LoadedKernel:
    """Return a kernel of machine code, loaded once for all contexts of the process.

    Raises:
        SelfOccError: There is no GPU, or the machine code is made for another one.
    """
    driver = _device()
    with driver.current():
        function = driver.function(driver.load_module(cubin), kernel.kernel)
    return LoadedKernel(driver, function, kernel.blocks)


@functools.cache
def _device() -> CudaDriver:
    """Open the first GPU; it stays open, for engines use its kernels until the process ends."""
    from selfocc_core.cuda.driver import open_driver

    return open_driver()
