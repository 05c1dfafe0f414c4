"""CUDA through pycuda; graphs and kernels, which it does not have as we need them, by ctypes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from threading import get_ident
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cuda.driver import DeviceInfo, HostBuffer
from selfocc_core.cuda.driver_calls import DriverCalls
from selfocc_core.cuda.libcuda import LibCuda
from selfocc_core.cuda.versions import major_minor, runtime_version
from selfocc_core.errors import SelfOccError

_NON_BLOCKING_STREAM = 1


class PyCudaDriver(DriverCalls):
    """A ``CudaDriver`` on pycuda.

    Args:
        pycuda: The module ``pycuda.driver``.
        library: The driver library below it.
        device: Which device.

    Raises:
        SelfOccError: There is no such device, or CUDA refuses.
    """

    def __init__(self, pycuda: Any, library: LibCuda, device: int = 0) -> None:
        super().__init__(library)
        self._pycuda = pycuda
        self._streams: dict[int, Any] = {}
        self._events: dict[int, Any] = {}
        self._thread = get_ident()
        with self._told():
            pycuda.init()
            count = pycuda.Device.count()
            if device >= count:
                raise SelfOccError(f'there is no CUDA device {device}: this machine has {count}')
            opened = pycuda.Device(device)
            self._info = self._describe(opened)
            self._context = opened.retain_primary_context()
        self._closed = False

    @property
    def binding(self) -> str:
        """The Python binding and its version."""
        try:
            return f'pycuda {version("pycuda")}'
        except PackageNotFoundError:
            return 'pycuda'

    @property
    def info(self) -> DeviceInfo:
        """The device."""
        return self._info

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the device's primary context the calling thread's while the block runs."""
        with self._told():
            self._context.push()
        try:
            yield
        finally:
            with self._told():  # pycuda ends the process if a thread ends without
                self._pycuda.Context.pop()

    def memory_bytes(self) -> tuple[int, int]:
        """Return free and total memory of the device."""
        with self._told():
            free, total = self._pycuda.mem_get_info()
        return int(free), int(total)

    def allocate(self, size: int) -> int:
        """Return a pointer to ``size`` new bytes on the device."""
        with self._told():
            memory = self._pycuda.mem_alloc(size)
        return self._ledger.add('device memory', int(memory), self._telling(memory.free))

    def allocate_host(self, size: int, mapped: bool = False) -> HostBuffer:
        """Return page-locked host memory; if ``mapped``, the device can use it in place."""
        flags = self._pycuda.host_alloc_flags.DEVICEMAP if mapped else 0
        with self._told():
            array = self._pycuda.pagelocked_empty(size, np.uint8, mem_flags=flags)
        memory, address = array.base, array.ctypes.data
        self._ledger.add('host memory', address, self._telling(memory.free))
        return HostBuffer(array, self._mapped_pointer(memory, address) if mapped else None)

    def free_host(self, buffer: HostBuffer) -> None:
        """Give back memory of ``allocate_host``."""
        self._ledger.give_back('host memory', buffer.array.ctypes.data)

    def copy_to_device(self, target: int, source: NDArray[np.uint8], stream: int) -> None:
        """Enqueue a copy of page-locked bytes to the device."""
        with self._told():
            self._pycuda.memcpy_htod_async(target, source, self._streams[stream])

    def copy_to_host(self, target: NDArray[np.uint8], source: int, stream: int) -> None:
        """Enqueue a copy of ``len(target)`` bytes from the device to page-locked memory."""
        with self._told():
            self._pycuda.memcpy_dtoh_async(target, source, self._streams[stream])

    def create_stream(self) -> int:
        """Return a stream that does not wait for the default one."""
        with self._told():
            stream = self._pycuda.Stream(_NON_BLOCKING_STREAM)
        handle = int(stream.handle)
        self._streams[handle] = stream  # pycuda destroys it with its last reference
        return self._ledger.add('stream', handle, lambda: self._streams.pop(handle))

    def synchronize(self, stream: int) -> None:
        """Wait until all work of a stream is done."""
        with self._told():
            self._streams[stream].synchronize()

    def create_event(self) -> int:
        """Return an event that takes the time."""
        with self._told():
            event = self._pycuda.Event()
        handle = id(event)  # pycuda does not tell CUDA's
        self._events[handle] = event
        return self._ledger.add('event', handle, lambda: self._events.pop(handle))

    def record(self, event: int, stream: int) -> None:
        """Enqueue that the event takes the time."""
        with self._told():
            self._events[event].record(self._streams[stream])

    def elapsed_ms(self, start: int, end: int) -> float:
        """Return the milliseconds between two events that have taken the time."""
        with self._told():
            return float(self._events[end].time_since(self._events[start]))

    def close(self) -> None:
        """Give back everything that is still taken, and the context; later calls do nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            with self.current():
                self._ledger.close()
        finally:
            self._detach()

    def _detach(self) -> None:
        with self._told():
            self._context.detach()
        # To detach it, pycuda pushes it once more and leaves it there; from another thread than
        # the one that opened it, it does nothing.
        if self._thread == get_ident():
            self._cuda.cuCtxPopCurrent()

    def _describe(self, device: Any) -> DeviceInfo:
        attribute = self._pycuda.device_attribute
        return DeviceInfo(
            name=device.name(),
            compute_capability=tuple(device.compute_capability()),
            multiprocessors=int(device.get_attribute(attribute.MULTIPROCESSOR_COUNT)),
            integrated=bool(device.get_attribute(attribute.INTEGRATED)),
            memory_bytes=int(device.total_memory()),
            driver_version=major_minor(int(self._pycuda.get_driver_version())),
            runtime_version=runtime_version(),
        )

    def _mapped_pointer(self, memory: Any, address: int) -> int:
        try:
            with self._told():
                return int(memory.get_device_pointer())
        except SelfOccError:
            self._ledger.give_back('host memory', address)
            raise

    def _telling(self, release: Any) -> Any:
        def call() -> None:
            with self._told():
                release()

        return call

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell of pycuda's errors, which name the function that failed, in our way."""
        try:
            yield
        except self._pycuda.Error as error:
            raise SelfOccError(str(error)) from error
