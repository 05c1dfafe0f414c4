"""What this project asks of CUDA, whichever Python binding answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError, sentence_of

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class DeviceInfo:
    """A CUDA device and the software below it.

    Attributes:
        name: As NVIDIA calls it, for example ``Orin``.
        compute_capability: Major and minor.
        multiprocessors: Streaming multiprocessors.
        integrated: Whether CPU and GPU share their memory, as on a Jetson.
        memory_bytes: All of its memory.
        driver_version: Newest CUDA that the installed driver knows, major and minor.
        runtime_version: CUDA runtime library on this machine, major and minor; ``None`` without.
    """

    name: str
    compute_capability: tuple[int, int]
    multiprocessors: int
    integrated: bool
    memory_bytes: int
    driver_version: tuple[int, int]
    runtime_version: tuple[int, int] | None

    @property
    def architecture(self) -> str:
        """Architecture for NVRTC, for example ``sm_87``."""
        return 'sm_{}{}'.format(*self.compute_capability)


@dataclass(frozen=True, eq=False)
class HostBuffer:
    """Page-locked memory of the host.

    Attributes:
        array: The memory ``[bytes]``; not to be touched once the buffer is freed.
        device_pointer: Where the device sees the same memory; ``None`` if it is not mapped.
    """

    array: NDArray[np.uint8]
    device_pointer: int | None


class CudaDriver(Protocol):
    """One CUDA device.

    Pointers and handles (streams, events, graphs, modules, functions) are integers, as TensorRT
    takes them. Everything but ``info`` and ``close`` is called inside of ``current()``, in
    whichever thread. What was taken and not given back is given back by ``close``. Every method
    raises ``SelfOccError`` when CUDA refuses.
    """

    @property
    def binding(self) -> str:
        """The Python binding, for example ``cuda-python 12.9.10``."""

    @property
    def info(self) -> DeviceInfo:
        """The device."""

    def current(self) -> AbstractContextManager[None]:
        """Make the device's primary context the calling thread's while the block runs."""

    def memory_bytes(self) -> tuple[int, int]:
        """Return free and total memory of the device."""

    def allocate(self, size: int) -> int:
        """Return a pointer to ``size`` new bytes on the device."""

    def free(self, pointer: int) -> None:
        """Give back memory of ``allocate``."""

    def allocate_host(self, size: int, mapped: bool = False) -> HostBuffer:
        """Return page-locked host memory; if ``mapped``, the device can use it in place."""

    def free_host(self, buffer: HostBuffer) -> None:
        """Give back memory of ``allocate_host``."""

    def copy_to_device(self, target: int, source: NDArray[np.uint8], stream: int) -> None:
        """Enqueue a copy of page-locked bytes to the device."""

    def copy_to_host(self, target: NDArray[np.uint8], source: int, stream: int) -> None:
        """Enqueue a copy of ``len(target)`` bytes from the device to page-locked memory."""

    def create_stream(self) -> int:
        """Return a stream that does not wait for the default one."""

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""

    def synchronize(self, stream: int) -> None:
        """Wait until all work of a stream is done."""

    def create_event(self) -> int:
        """Return an event that takes the time."""

    def destroy_event(self, event: int) -> None:
        """Give an event back."""

    def record(self, event: int, stream: int) -> None:
        """Enqueue that the event takes the time."""

    def elapsed_ms(self, start: int, end: int) -> float:
        """Return the milliseconds between two events that have taken the time."""

    def capture(self, stream: int, enqueue: Callable[[], None]) -> int:
        """Return the graph of the work that ``enqueue`` gives to the stream; none of it runs.

        What ``enqueue`` raises is raised again, after the capture was ended.
        """

    def launch_graph(self, graph: int, stream: int) -> None:
        """Enqueue a graph."""

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back."""

    def load_module(self, cubin: bytes) -> int:
        """Return the module of a cubin."""

    def unload_module(self, module: int) -> None:
        """Give a module back."""

    def function(self, module: int, name: str) -> int:
        """Return a kernel of a module, by its unmangled name; it lives as long as the module."""

    def launch(
        self,
        function: int,
        grid: Grid,
        block: Grid,
        arguments: Sequence[np.generic],
        stream: int,
        shared_bytes: int = 0,
    ) -> None:
        """Enqueue a kernel.

        Args:
            function: The kernel.
            grid: Blocks along x, y and z.
            block: Threads of a block along x, y and z.
            arguments: One numpy scalar of exactly the parameter's type each; a pointer is uint64.
            stream: A stream of this device, of this interface's or not.
            shared_bytes: Dynamic shared memory of a block.
        """

    def close(self) -> None:
        """Give back everything that is still taken, and the context; later calls do nothing."""


def open_driver(device: int = 0) -> CudaDriver:
    """Return a device, through pycuda where it is installed and cuda-python otherwise.

    Raises:
        SelfOccError: There is no binding, no NVIDIA driver or no such device.
    """
    refusals = []
    for name, open_binding in _BINDINGS.items():
        try:
            return open_binding(device)
        except SelfOccError as error:
            refusals.append(f'{name}: {error}')
        except Exception as error:  # a broken binding must not keep the other from being tried
            refusals.append(f'{name} cannot be used ({sentence_of(error)})')
    raise SelfOccError(f'no CUDA device can be used: {"; ".join(refusals)}')


def _open_pycuda(device: int) -> CudaDriver:
    pycuda = import_module('pycuda.driver')
    from selfocc_core.cuda.libcuda import LibCuda
    from selfocc_core.cuda.pycuda_driver import PyCudaDriver

    return PyCudaDriver(pycuda, LibCuda.load(), device)


def _open_cuda_python(device: int) -> CudaDriver:
    cuda = import_module('cuda.bindings.driver')
    from selfocc_core.cuda.cuda_python_driver import CudaPythonDriver

    return CudaPythonDriver(cuda, device)


_BINDINGS: dict[str, Callable[[int], CudaDriver]] = {
    'pycuda': _open_pycuda,
    'cuda-python': _open_cuda_python,
}
