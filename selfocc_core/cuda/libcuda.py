"""Some functions of NVIDIA's driver library through ctypes: those that pycuda does not have.

pycuda knows no CUDA graphs, and launches kernels only on streams of its own; a TensorRT plugin is
given its stream by TensorRT.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_uint, c_uint64, c_void_p
from enum import IntEnum
from typing import Any

from selfocc_core.errors import SelfOccError

LIBRARY = 'libcuda.so.1'
Status = Any

# Symbols carry the version whose parameters these are.
_PARAMETERS: dict[str, list[Any]] = {
    'cuGetErrorName': [c_int, POINTER(c_char_p)],
    'cuCtxPopCurrent_v2': [POINTER(c_void_p)],
    'cuStreamBeginCapture_v2': [c_void_p, c_int],
    'cuStreamEndCapture': [c_void_p, POINTER(c_void_p)],
    'cuGraphInstantiateWithFlags': [POINTER(c_void_p), c_void_p, c_uint64],
    'cuGraphLaunch': [c_void_p, c_void_p],
    'cuGraphDestroy': [c_void_p],
    'cuGraphExecDestroy': [c_void_p],
    'cuModuleLoadData': [POINTER(c_void_p), c_char_p],
    'cuModuleUnload': [c_void_p],
    'cuModuleGetFunction': [POINTER(c_void_p), c_void_p, c_char_p],
    'cuLaunchKernel': [c_void_p, *[c_uint] * 7, c_void_p, c_void_p, c_void_p],
}


class CaptureMode(IntEnum):
    """Whose forbidden calls break a capture."""

    GLOBAL = 0
    THREAD_LOCAL = 1
    RELAXED = 2


class LibCuda:
    """Functions that return the status, then what C returns through pointers.

    Args:
        library: The loaded library.
    """

    CUstreamCaptureMode = CaptureMode

    def __init__(self, library: ctypes.CDLL) -> None:
        self._functions = {name: getattr(library, name) for name in _PARAMETERS}
        for name, parameters in _PARAMETERS.items():
            self._functions[name].argtypes = parameters
            self._functions[name].restype = c_int

    @classmethod
    def load(cls) -> LibCuda:
        """Return the library of this machine.

        Raises:
            SelfOccError: It is missing, or older than CUDA 11.4.
        """
        try:
            return cls(ctypes.CDLL(LIBRARY))
        except (OSError, AttributeError) as error:
            raise SelfOccError(
                f'there is no usable NVIDIA driver ({LIBRARY}: {error}): install it, or run on '
                'the CPU'
            ) from error

    def cuCtxPopCurrent(self) -> tuple[Status, int]:  # noqa: N802
        """Take the current context off the calling thread's stack and return it."""
        context = c_void_p()
        return self._status('cuCtxPopCurrent_v2', ctypes.byref(context)), context.value or 0

    def cuStreamBeginCapture(self, stream: int, mode: CaptureMode) -> tuple[Status]:  # noqa: N802
        """Begin to record instead of run."""
        return (self._status('cuStreamBeginCapture_v2', stream, mode),)

    def cuStreamEndCapture(self, stream: int) -> tuple[Status, int]:  # noqa: N802
        """Return the graph of what was recorded."""
        graph = c_void_p()
        status = self._status('cuStreamEndCapture', stream, ctypes.byref(graph))
        return status, graph.value or 0

    def cuGraphInstantiate(self, graph: int, flags: int) -> tuple[Status, int]:  # noqa: N802
        """Return the executable of a graph."""
        executable = c_void_p()
        status = self._status(
            'cuGraphInstantiateWithFlags', ctypes.byref(executable), graph, flags
        )
        return status, executable.value or 0

    def cuModuleLoadData(self, image: bytes) -> tuple[Status, int]:  # noqa: N802
        """Return the module of a cubin."""
        module = c_void_p()
        return self._status('cuModuleLoadData', ctypes.byref(module), image), module.value or 0

    def cuModuleGetFunction(self, module: int, name: bytes) -> tuple[Status, int]:  # noqa: N802
        """Return a kernel of a module."""
        function = c_void_p()
        status = self._status('cuModuleGetFunction', ctypes.byref(function), module, name)
        return status, function.value or 0

    def cuGraphLaunch(self, graph: int, stream: int) -> tuple[Status]:  # noqa: N802
        """Enqueue a graph."""
        return (self._status('cuGraphLaunch', graph, stream),)

    def cuGraphDestroy(self, graph: int) -> tuple[Status]:  # noqa: N802
        """Give a graph back."""
        return (self._status('cuGraphDestroy', graph),)

    def cuGraphExecDestroy(self, graph: int) -> tuple[Status]:  # noqa: N802
        """Give an executable graph back."""
        return (self._status('cuGraphExecDestroy', graph),)

    def cuModuleUnload(self, module: int) -> tuple[Status]:  # noqa: N802
        """Give a module back."""
        return (self._status('cuModuleUnload', module),)

    def cuLaunchKernel(self, *arguments: int) -> tuple[Status]:  # noqa: N802
        """Enqueue a kernel."""
        return (self._status('cuLaunchKernel', *arguments),)

    def _status(self, name: str, *arguments: Any) -> Status:
        return NamedStatus(self._functions[name](*arguments), self._functions['cuGetErrorName'])


class NamedStatus(int):
    """A status of the library, with CUDA's name of it."""

    name: str

    def __new__(cls, status: int, error_name: Any) -> NamedStatus:
        """Look the name up."""
        named = super().__new__(cls, status)
        text = c_char_p()
        known = error_name(status, ctypes.byref(text)) == 0
        named.name = (text.value or b'').decode() if known else f'CUDA error {status}'
        return named
