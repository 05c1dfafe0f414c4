"""CUDA through NVIDIA's cuda-python (the module ``cuda.bindings.driver``)."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cuda.driver import DeviceInfo, HostBuffer
from selfocc_core.cuda.driver_calls import DriverCalls, values_of
from selfocc_core.cuda.versions import major_minor, runtime_version
from selfocc_core.errors import SelfOccError, sentence_of

_NAME_BYTES = 128
_NON_BLOCKING_STREAM = 1
_MAPPED = 2


class CudaPythonDriver(DriverCalls):
    """A ``CudaDriver`` on cuda-python.

    Args:
        cuda: The module ``cuda.bindings.driver``.
        device: Which device.

    Raises:
        SelfOccError: There is no NVIDIA driver or no such device, or CUDA refuses.
    """

    def __init__(self, cuda: Any, device: int = 0) -> None:
        super().__init__(cuda)
        self._initialise()
        (count,) = self._call('cuDeviceGetCount')
        if device >= count:
            raise SelfOccError(f'there is no CUDA device {device}: this machine has {count}')
        (self._device,) = self._call('cuDeviceGet', device)
        self._info = self._describe()
        (self._context,) = self._call('cuDevicePrimaryCtxRetain', self._device)
        self._closed = False

    @property
    def binding(self) -> str:
        """The Python binding and its version."""
        try:
            return f'cuda-python {version("cuda-bindings")}'
        except PackageNotFoundError:
            return 'cuda-python'

    @property
    def info(self) -> DeviceInfo:
        """The device."""
        return self._info

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the device's primary context the calling thread's while the block runs."""
        self._call('cuCtxPushCurrent', self._context)
        try:
            yield
        finally:
            self._call('cuCtxPopCurrent')

    def memory_bytes(self) -> tuple[int, int]:
        """Return free and total memory of the device."""
        free, total = self._call('cuMemGetInfo')
        return int(free), int(total)

    def allocate(self, size: int) -> int:
        """Return a pointer to ``size`` new bytes on the device."""
        (pointer,) = self._call('cuMemAlloc', size)
        return self._take('device memory', pointer, 'cuMemFree')

    def allocate_host(self, size: int, mapped: bool = False) -> HostBuffer:
        """Return page-locked host memory; if ``mapped``, the device can use it in place."""
        (result,) = self._call('cuMemHostAlloc', size, _MAPPED if mapped else 0)
        address = self._take('host memory', result, 'cuMemFreeHost')
        array = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        return HostBuffer(array, self._mapped_pointer(address) if mapped else None)

    def free_host(self, buffer: HostBuffer) -> None:
        """Give back memory of ``allocate_host``."""
        self._ledger.give_back('host memory', buffer.array.ctypes.data)

    def copy_to_device(self, target: int, source: NDArray[np.uint8], stream: int) -> None:
        """Enqueue a copy of page-locked bytes to the device."""
        self._call('cuMemcpyHtoDAsync', target, source.ctypes.data, source.nbytes, stream)

    def copy_to_host(self, target: NDArray[np.uint8], source: int, stream: int) -> None:
        """Enqueue a copy of ``len(target)`` bytes from the device to page-locked memory."""
        self._call('cuMemcpyDtoHAsync', target.ctypes.data, source, target.nbytes, stream)

    def create_stream(self) -> int:
        """Return a stream that does not wait for the default one."""
        (stream,) = self._call('cuStreamCreate', _NON_BLOCKING_STREAM)
        return self._take('stream', stream, 'cuStreamDestroy')

    def synchronize(self, stream: int) -> None:
        """Wait until all work of a stream is done."""
        self._call('cuStreamSynchronize', stream)

    def create_event(self) -> int:
        """Return an event that takes the time."""
        (event,) = self._call('cuEventCreate', 0)
        return self._take('event', event, 'cuEventDestroy')

    def record(self, event: int, stream: int) -> None:
        """Enqueue that the event takes the time."""
        self._call('cuEventRecord', event, stream)

    def elapsed_ms(self, start: int, end: int) -> float:
        """Return the milliseconds between two events that have taken the time."""
        (elapsed,) = self._call('cuEventElapsedTime', start, end)
        return float(elapsed)

    def close(self) -> None:
        """Give back everything that is still taken, and the context; later calls do nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            with self.current():
                self._ledger.close()
        finally:
            self._call('cuDevicePrimaryCtxRelease', self._device)

    def _initialise(self) -> None:
        try:
            result = self._cuda.cuInit(0)
        except Exception as error:  # the binding looks for the library at the first call
            raise SelfOccError(
                f'there is no NVIDIA driver (libcuda.so.1: {sentence_of(error)}): install it, or '
                'run on the CPU'
            ) from error
        values_of('cuInit', result)

    def _describe(self) -> DeviceInfo:
        (name,) = self._call('cuDeviceGetName', _NAME_BYTES, self._device)
        (memory_bytes,) = self._call('cuDeviceTotalMem', self._device)
        (driver_version,) = self._call('cuDriverGetVersion')
        major = self._attribute('COMPUTE_CAPABILITY_MAJOR')
        return DeviceInfo(
            name=name.split(b'\0')[0].decode(errors='replace').strip(),
            compute_capability=(major, self._attribute('COMPUTE_CAPABILITY_MINOR')),
            multiprocessors=self._attribute('MULTIPROCESSOR_COUNT'),
            integrated=bool(self._attribute('INTEGRATED')),
            memory_bytes=int(memory_bytes),
            driver_version=major_minor(int(driver_version)),
            runtime_version=runtime_version(),
        )

    def _attribute(self, name: str) -> int:
        attribute = getattr(self._cuda.CUdevice_attribute, f'CU_DEVICE_ATTRIBUTE_{name}')
        (value,) = self._call('cuDeviceGetAttribute', attribute, self._device)
        return int(value)

    def _mapped_pointer(self, address: int) -> int:
        try:
            (pointer,) = self._call('cuMemHostGetDevicePointer', address, 0)
        except SelfOccError:
            self._ledger.give_back('host memory', address)
            raise
        return int(pointer)
