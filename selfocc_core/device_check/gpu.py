"""The GPU, and the plugins' kernels on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from selfocc_core.cuda.driver import CudaDriver
from selfocc_core.device_check.report import Gpu, Kernel
from selfocc_core.errors import SelfOccError

if TYPE_CHECKING:
    from selfocc_core.plugin.specialization import Specialization

# The full nuScenes model: images of 768x1600, four levels, 257x257 queries of the plane seen from
# above with 12 points.
_LEVELS = ((96, 200), (48, 100), (24, 50), (12, 25))
_QUERIES, _CAMERAS, _HEADS, _CHANNELS, _POINTS = 257 * 257, 6, 6, 16, 12


def gpu(driver: CudaDriver) -> Gpu:
    """Return the device's facts."""
    info = driver.info
    with driver.current():
        free_bytes, _ = driver.memory_bytes()
    return Gpu(
        name=info.name,
        architecture=info.architecture,
        multiprocessors=info.multiprocessors,
        integrated=info.integrated,
        memory_bytes=info.memory_bytes,
        free_bytes=free_bytes,
        cuda_driver='{}.{}'.format(*info.driver_version),
        binding=driver.binding,
    )


def kernels(driver: CudaDriver) -> tuple[Kernel, ...]:
    """Compile each plugin in each precision for the device.

    Raises:
        SelfOccError: There is no compiler for it, or it refuses a source.
    """
    return tuple(_kernel(driver, kernel) for kernel in _specializations())


def _specializations() -> tuple[Specialization, ...]:
    from selfocc_core.plugin.specialization import Specialization

    sizes = (_CAMERAS, _QUERIES, _HEADS, _CHANNELS, _POINTS)
    return (
        Specialization('SurroundDeformAttn', 'float16', _LEVELS, *sizes),
        Specialization('SurroundDeformAttn', 'float32', _LEVELS, *sizes),
        Specialization('MSDeformAttn', 'float16', _LEVELS, *sizes),
        Specialization('MSDeformAttn', 'float32', _LEVELS, *sizes),
    )


def _kernel(driver: CudaDriver, kernel: Specialization) -> Kernel:
    from selfocc_core.plugin.cubin import resources_of
    from selfocc_core.plugin.nvrtc import compile_cubin
    from selfocc_core.plugin.source import kernel_source

    begin_s = time.perf_counter()
    info = driver.info
    cubin = compile_cubin(kernel_source(kernel), info.architecture, info.driver_version)
    compile_s = time.perf_counter() - begin_s
    needs = resources_of(cubin, kernel.kernel)
    return Kernel(
        operator=kernel.operator,
        precision=kernel.precision,
        registers=needs.registers,
        stack_bytes=needs.stack_bytes,
        compile_s=compile_s,
        loads=_loads(driver, cubin, kernel.kernel),
    )


def _loads(driver: CudaDriver, cubin: bytes, name: str) -> bool:
    try:
        with driver.current():
            module = driver.load_module(cubin)
            try:
                driver.function(module, name)
            finally:
                driver.unload_module(module)
    except SelfOccError:
        return False
    return True
