"""Graphs and kernels through the functions of CUDA's driver library.

They are called by their C names, on a module or object that gives each as a Python function which
returns the status first, then what C returns through pointers: ``cuda.bindings.driver`` is one,
:class:`~selfocc_core.cuda.libcuda.LibCuda` another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from selfocc_core.cuda.driver import Grid
from selfocc_core.cuda.kernel_arguments import KernelArguments
from selfocc_core.cuda.ledger import Ledger
from selfocc_core.errors import SelfOccError, sentence_of

_THREAD_LOCAL = 1


class DriverCalls:
    """The part of a ``CudaDriver`` that all bindings share.

    Args:
        cuda: The functions.
    """

    def __init__(self, cuda: Any) -> None:
        self._cuda, self._ledger = cuda, Ledger()

    def capture(self, stream: int, enqueue: Callable[[], None]) -> int:
        """Return the graph of the work that ``enqueue`` gives to the stream; none of it runs."""
        # Of this thread only: what others allocate meanwhile is no affair of the capture.
        mode = self._cuda.CUstreamCaptureMode(_THREAD_LOCAL)
        self._call('cuStreamBeginCapture', stream, mode)
        try:
            enqueue()
        except BaseException:
            self._abandon_capture(stream)
            raise
        (graph,) = self._call('cuStreamEndCapture', stream)
        try:
            (executable,) = self._call('cuGraphInstantiate', graph, 0)
            return self._take('graph', executable, 'cuGraphExecDestroy')
        finally:
            self._call('cuGraphDestroy', graph)

    def launch_graph(self, graph: int, stream: int) -> None:
        """Enqueue a graph."""
        self._call('cuGraphLaunch', graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back."""
        self._ledger.give_back('graph', graph)

    def load_module(self, cubin: bytes) -> int:
        """Return the module of a cubin."""
        (module,) = self._call('cuModuleLoadData', cubin)
        return self._take('module', module, 'cuModuleUnload')

    def unload_module(self, module: int) -> None:
        """Give a module back."""
        self._ledger.give_back('module', module)

    def function(self, module: int, name: str) -> int:
        """Return a kernel of a module, by its unmangled name."""
        (function,) = self._call('cuModuleGetFunction', module, name.encode())
        return int(function)

    def launch(
        self,
        function: int,
        grid: Grid,
        block: Grid,
        arguments: Sequence[np.generic],
        stream: int,
        shared_bytes: int = 0,
    ) -> None:
        """Enqueue a kernel."""
        packed = KernelArguments(arguments)
        self._call(
            'cuLaunchKernel', function, *grid, *block, shared_bytes, stream, packed.address, 0
        )

    def free(self, pointer: int) -> None:
        """Give back memory of ``allocate``."""
        self._ledger.give_back('device memory', pointer)

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        self._ledger.give_back('stream', stream)

    def destroy_event(self, event: int) -> None:
        """Give an event back."""
        self._ledger.give_back('event', event)

    def _abandon_capture(self, stream: int) -> None:
        try:
            (graph,) = self._call('cuStreamEndCapture', stream)
        except SelfOccError:  # what broke the capture is raised by the caller
            return
        self._call('cuGraphDestroy', graph)

    def _take(self, kind: str, handle: Any, release: str) -> int:
        return self._ledger.add(kind, int(handle), lambda: self._call(release, int(handle)))

    def _call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """Call a function of the driver and return its values without the status.

        Raises:
            SelfOccError: The status is not success, or the driver has no such function.
        """
        try:
            result = getattr(self._cuda, name)(*arguments)
        except RuntimeError as error:  # cuda-python looks for a function when it is first called
            raise SelfOccError(f'{name} failed: {sentence_of(error)}') from error
        return values_of(name, result)


def values_of(name: str, result: Sequence[Any]) -> tuple[Any, ...]:
    """Return what a function of the driver gave, without the status.

    Raises:
        SelfOccError: The status is not success.
    """
    status, *values = result
    if int(status) != 0:
        raise SelfOccError(f'{name} failed: {getattr(status, "name", status)}')
    return tuple(values)
