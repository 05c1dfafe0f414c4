"""A CUDA device made of the host's memory, as ``cuda.bindings.driver`` and as ``pycuda.driver``.

It records every call, can be told to refuse any of them, and knows what was not given back. Work
on a stream is done at once, or recorded while the stream captures.
"""

# ruff: noqa: N802
from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace

import numpy as np

_OUT_OF_MEMORY = 2


class Status(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = _OUT_OF_MEMORY


class Attribute(IntEnum):
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16
    CU_DEVICE_ATTRIBUTE_INTEGRATED = 18
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76


class FakeCuda:
    """The functions of the driver library, by their C names."""

    CUdevice_attribute = Attribute
    CUstreamCaptureMode = int

    def __init__(self, devices: int = 1, integrated: bool = True) -> None:
        self.devices, self.integrated = devices, integrated
        self.calls: list[str] = []
        self.refused: str | None = None
        self.open: dict[int, str] = {}
        self.stack: list[int] = []
        self.launched: list[tuple[int, ...]] = []
        self.capturing: list[Callable[[], object]] | None = None
        self.graphs: dict[int, list[Callable[[], object]]] = {}
        self._memory: dict[int, object] = {}
        self._handles = itertools.count(0x1000)

    def __getattr__(self, name: str) -> Callable[..., tuple]:
        if not name.startswith('cu'):
            raise AttributeError(name)
        return lambda *arguments: self.call(name, *arguments)

    def call(self, name: str, *arguments) -> tuple:
        self.calls.append(name)
        if name == self.refused:
            values = 2 if name == 'cuMemGetInfo' else 1
            return (Status.CUDA_ERROR_OUT_OF_MEMORY, *[None] * values)
        result = getattr(self, f'do_{name}')(*arguments)
        values = result if isinstance(result, tuple) else () if result is None else (result,)
        return (Status.CUDA_SUCCESS, *values)

    def enqueue(self, work: Callable[[], object]) -> None:
        """Do the work of a stream, or record it."""
        if self.capturing is None:
            work()
        else:
            self.capturing.append(work)

    def take(self, kind: str) -> int:
        handle = next(self._handles)
        self.open[handle] = kind
        return handle

    def give_back(self, handle: int, kind: str) -> None:
        assert self.stack or kind == 'context', f'{kind} is given back without a context'
        assert self.open.pop(int(handle)) == kind

    def _allocate(self, size: int, kind: str) -> int:
        memory = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(memory)
        self.open[address], self._memory[address] = kind, memory
        return address

    def do_cuInit(self, flags): ...

    def do_cuDeviceGetCount(self):
        return self.devices

    def do_cuDeviceGet(self, device):
        return device

    def do_cuDeviceGetName(self, size, device):
        return b'Orin'.ljust(size, b'\0')

    def do_cuDeviceTotalMem(self, device):
        return 64 * 2**30

    def do_cuDriverGetVersion(self):
        return 12060

    def do_cuDeviceGetAttribute(self, attribute, device):
        return {16: 16, 18: int(self.integrated), 75: 8, 76: 7}[int(attribute)]

    def do_cuDevicePrimaryCtxRetain(self, device):
        return self.take('context')

    def do_cuDevicePrimaryCtxRelease(self, device):
        (context,) = [handle for handle, kind in self.open.items() if kind == 'context']
        self.give_back(context, 'context')

    def do_cuCtxPushCurrent(self, context):
        assert self.open[context] == 'context'
        self.stack.append(context)

    def do_cuCtxPopCurrent(self):
        return self.stack.pop()

    def do_cuMemGetInfo(self):
        return 2**30, 64 * 2**30

    def do_cuMemAlloc(self, size):
        return self._allocate(size, 'device memory')

    def do_cuMemFree(self, pointer):
        self.give_back(pointer, 'device memory')

    def do_cuMemHostAlloc(self, size, flags):
        return self._allocate(size, 'host memory')

    def do_cuMemFreeHost(self, address):
        self.give_back(address, 'host memory')

    def do_cuMemHostGetDevicePointer(self, address, flags):
        assert self.open[address] == 'host memory'
        return address

    def do_cuMemcpyHtoDAsync(self, target, source, size, stream):
        self.enqueue(lambda: ctypes.memmove(target, source, size))

    def do_cuMemcpyDtoHAsync(self, target, source, size, stream):
        self.enqueue(lambda: ctypes.memmove(target, source, size))

    def do_cuStreamCreate(self, flags):
        assert flags == 1
        return self.take('stream')

    def do_cuStreamDestroy(self, stream):
        self.give_back(stream, 'stream')

    def do_cuStreamSynchronize(self, stream):
        assert self.open[stream] == 'stream'
        assert self.capturing is None

    def do_cuEventCreate(self, flags):
        return self.take('event')

    def do_cuEventDestroy(self, event):
        self.give_back(event, 'event')

    def do_cuEventRecord(self, event, stream):
        assert (self.open[event], self.open[stream]) == ('event', 'stream')

    def do_cuEventElapsedTime(self, start, end):
        return 1.5

    def do_cuStreamBeginCapture(self, stream, mode):
        assert self.capturing is None
        assert mode == 1
        self.capturing = []

    def do_cuStreamEndCapture(self, stream):
        work, self.capturing = self.capturing, None
        graph = self.take('captured graph')
        self.graphs[graph] = work
        return graph

    def do_cuGraphInstantiate(self, graph, flags):
        executable = self.take('graph')
        self.graphs[executable] = self.graphs[graph]
        return executable

    def do_cuGraphDestroy(self, graph):
        self.give_back(graph, 'captured graph')

    def do_cuGraphExecDestroy(self, graph):
        self.give_back(graph, 'graph')

    def do_cuGraphLaunch(self, graph, stream):
        for work in self.graphs[graph]:
            work()

    def do_cuModuleLoadData(self, image):
        assert image.startswith(b'\x7fELF')
        return self.take('module')

    def do_cuModuleUnload(self, module):
        self.give_back(module, 'module')

    def do_cuModuleGetFunction(self, module, name):
        assert (self.open[module], name) == ('module', b'attend')
        return next(self._handles)

    def do_cuLaunchKernel(self, function, *rest):
        *sizes, shared_bytes, _, address, _ = rest
        first = ctypes.cast(address, ctypes.POINTER(ctypes.c_void_p))[0]
        value = ctypes.cast(first, ctypes.POINTER(ctypes.c_uint64))[0]
        self.launched.append((*sizes, shared_bytes, value))


class PyCudaError(Exception):
    pass


class FakePyCuda:
    """The part of ``pycuda.driver`` that we use, on the same device."""

    Error = PyCudaError
    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)
    device_attribute = SimpleNamespace(MULTIPROCESSOR_COUNT=16, INTEGRATED=18)

    def __init__(self, cuda: FakeCuda) -> None:  # noqa: C901
        self._cuda = cuda
        call = self.call

        class Device:
            count = staticmethod(lambda: call('cuDeviceGetCount'))

            def __init__(self, number):
                self.number = number

            def name(self):
                return call('cuDeviceGetName', 8, self.number).split(b'\0')[0].decode()

            def compute_capability(self):
                return (8, 7)

            def total_memory(self):
                return call('cuDeviceTotalMem', self.number)

            def get_attribute(self, attribute):
                return call('cuDeviceGetAttribute', attribute, self.number)

            def retain_primary_context(self):
                return Context(call('cuDevicePrimaryCtxRetain', self.number))

        class Context:
            pop = staticmethod(lambda: call('cuCtxPopCurrent'))

            def __init__(self, handle):
                self.handle = handle

            def push(self):
                call('cuCtxPushCurrent', self.handle)

            def detach(self):  # as the real one does: nobody pops it
                call('cuCtxPushCurrent', self.handle)
                call('cuDevicePrimaryCtxRelease', 0)

        class Stream:
            def __init__(self, flags):
                self.handle = call('cuStreamCreate', flags)

            def synchronize(self):
                call('cuStreamSynchronize', self.handle)

            def __del__(self):
                if hasattr(self, 'handle'):
                    call('cuStreamDestroy', self.handle)

        class Event:
            def __init__(self):
                self.handle = call('cuEventCreate', 0)

            def record(self, stream):
                call('cuEventRecord', self.handle, stream.handle)

            def time_since(self, start):
                return call('cuEventElapsedTime', start.handle, self.handle)

            def __del__(self):
                if hasattr(self, 'handle'):
                    call('cuEventDestroy', self.handle)

        self.Device, self.Context, self.Stream, self.Event = Device, Context, Stream, Event

    def call(self, name: str, *arguments):
        status, *values = self._cuda.call(name, *arguments)
        if status != 0:
            raise PyCudaError(f'{name} failed: out of memory')
        return values[0] if len(values) == 1 else tuple(values)

    def init(self):
        self.call('cuInit', 0)

    def get_driver_version(self):
        return self.call('cuDriverGetVersion')

    def mem_get_info(self):
        return self.call('cuMemGetInfo')

    def mem_alloc(self, size):
        return Allocation(self, self.call('cuMemAlloc', size), 'cuMemFree')

    def pagelocked_empty(self, size, dtype, mem_flags):
        address = self.call('cuMemHostAlloc', size, mem_flags)
        owner = Allocation(self, address, 'cuMemFreeHost')
        return HostArray.at(address, size, owner)

    def memcpy_htod_async(self, target, source, stream):
        size = source.nbytes
        self.call('cuMemcpyHtoDAsync', target, source.ctypes.data, size, stream.handle)

    def memcpy_dtoh_async(self, target, source, stream):
        size = target.nbytes
        self.call('cuMemcpyDtoHAsync', target.ctypes.data, source, size, stream.handle)


class Allocation:
    def __init__(self, module: FakePyCuda, address: int, release: str) -> None:
        self._module, self._address, self._release = module, address, release

    def __int__(self):
        return self._address

    def free(self):
        self._module.call(self._release, self._address)

    def get_device_pointer(self):
        return self._module.call('cuMemHostGetDevicePointer', self._address, 0)


class HostArray(np.ndarray):
    """An array whose ``base`` is pycuda's owner of the memory."""

    owner: Allocation

    @classmethod
    def at(cls, address: int, size: int, owner: Allocation) -> HostArray:
        array = np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8).view(cls)
        array.owner = owner
        return array

    @property
    def base(self):
        return self.owner
