"""A TensorRT engine on a device: its memory, its stream, and its CUDA graph."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.cuda.driver import CudaDriver, HostBuffer
from selfocc_core.cuda.ledger import give_back_all
from selfocc_core.engine.tensorrt_log import collecting_logger, reason_from
from selfocc_core.errors import SelfOccError
from selfocc_core.plugin.last_error import take_last_error

_REBUILD = 'build it again with "selfocc build-engine --rebuild"'
_SILENT = 'TensorRT does not say why'
_SAME = 1e-3
_SPOILT = 0xFF  # of float32 and float16, bytes of nothing but ones are no number


@dataclass(frozen=True, eq=False)
class Tensor:
    """An input or output of an engine, and its memory.

    Attributes:
        name: As in the model.
        shape: Its static shape.
        kind: Its type.
        is_input: Whether the engine reads it.
        host: Page-locked memory of the host.
        device_pointer: Where the engine reads or writes it.
        is_mapped: Whether that is the host's memory itself.
    """

    name: str
    shape: tuple[int, ...]
    kind: np.dtype[Any]
    is_input: bool
    host: HostBuffer
    device_pointer: int
    is_mapped: bool

    @property
    def values(self) -> NDArray[Any]:
        """The host's memory as an array."""
        return self.host.array.view(self.kind).reshape(self.shape)


@dataclass(frozen=True)
class StageTimes:
    """How long the last run took, in milliseconds.

    Attributes:
        copy_in: Writing the inputs where the device can read them.
        inference: The engine, by the device's clock.
        copy_out: Reading the outputs into new arrays.
    """

    copy_in: float
    inference: float
    copy_out: float


class EngineSession:
    """An engine with everything it needs to run, on one device.

    The first run also captures the engine's work as a CUDA graph, which later runs replay; if
    that fails or gives other outputs, they enqueue the engine each time, and ``graph_refusal``
    says why.

    Args:
        driver: The device.
        trt: The module ``tensorrt``, with our plugins registered.
        engine: The engine file.
        use_graph: Whether a CUDA graph is tried.

    Raises:
        SelfOccError: The engine does not load, or the memory does not suffice.
    """

    def __init__(self, driver: CudaDriver, trt: Any, engine: Path, use_graph: bool = True) -> None:
        self._driver, self._path, self._lock = driver, engine, Lock()
        self._tensors: tuple[Tensor, ...] = ()
        self._stream: int | None = None
        self._events: list[int] = []
        self._graph: int | None = None
        self._errors: list[str] = []  # what TensorRT says
        self._wants_graph = use_graph
        self.graph_refusal: str | None = None if use_graph else 'not wanted'
        self.times = StageTimes(0.0, 0.0, 0.0)
        with driver.current():
            try:
                self._open(trt)
            except BaseException:
                with suppress(SelfOccError):  # it would hide why the engine cannot be opened
                    give_back_all(self._taken())
                raise

    @property
    def shapes(self) -> dict[str, list[int]]:
        """Shape of every input and output."""
        return {tensor.name: list(tensor.shape) for tensor in self._tensors}

    @property
    def uses_graph(self) -> bool:
        """Whether runs replay a CUDA graph."""
        return self._graph is not None

    @property
    def graph_state(self) -> str:
        """In words whether runs replay a CUDA graph, and if not, why."""
        return 'used' if self.uses_graph else self.graph_refusal or 'not tried yet'

    def run(self, inputs: ModelInputs) -> ModelOutputs:
        """Run the engine once.

        Raises:
            SelfOccError: Inputs do not fit the engine, or the device refuses.
        """
        with self._lock, self._driver.current():
            outputs = self._run(inputs)
            if self._wants_graph:
                self._wants_graph = False
                self._try_graph(inputs, outputs)
        return _model_outputs(outputs)

    def close(self) -> None:
        """Give back the engine and all memory; later calls do nothing.

        Raises:
            SelfOccError: The device refused one of them; the others were given back all the same.
        """
        with self._lock:
            releases = self._taken()
            with self._driver.current():
                give_back_all(releases)

    def _open(self, trt: Any) -> None:
        self._engine, self._context = _load(trt, self._path, self._errors)
        for index in range(self._engine.num_io_tensors):
            tensor = self._tensor(trt, self._engine.get_tensor_name(index))
            self._tensors = (*self._tensors, tensor)
            if not self._context.set_tensor_address(tensor.name, tensor.device_pointer):
                raise SelfOccError(f'TensorRT refuses the memory of "{tensor.name}"')
        self._stream = self._driver.create_stream()
        for _ in range(4):
            self._events.append(self._driver.create_event())

    def _tensor(self, trt: Any, name: str) -> Tensor:
        shape = tuple(int(size) for size in self._engine.get_tensor_shape(name))
        if min(shape, default=1) < 1:
            raise SelfOccError(
                f'engine {self._path} has "{name}" of shape {list(shape)}, which is not fixed: '
                f'{_REBUILD}'
            )
        kind = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
        size = kind.itemsize * int(np.prod(shape))
        # Where both share one memory, a copy would move bytes from it to itself.
        is_mapped = self._driver.info.integrated
        host = self._driver.allocate_host(size, mapped=is_mapped)
        pointer = host.device_pointer
        try:
            device = pointer if pointer is not None else self._driver.allocate(size)
        except SelfOccError:
            self._driver.free_host(host)
            raise
        is_input = self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        return Tensor(name, shape, kind, is_input, host, device, is_mapped)

    def _run(self, inputs: ModelInputs) -> dict[str, NDArray[Any]]:
        """Return the outputs of one run, and keep how long it took."""
        begin_s = time.perf_counter()
        self._write(inputs)
        written_s = time.perf_counter()
        self._enqueue()
        self._driver.synchronize(self._opened_stream)
        done_s = time.perf_counter()
        outputs = self._read()
        read_s = time.perf_counter()
        copied_in, ran, copied_out = (
            self._driver.elapsed_ms(start, end)
            for start, end in zip(self._events[:-1], self._events[1:], strict=True)
        )
        self.times = StageTimes(
            (written_s - begin_s) * 1e3 + copied_in, ran, copied_out + (read_s - done_s) * 1e3
        )
        return outputs

    def _write(self, inputs: ModelInputs) -> None:
        for tensor in self._tensors:
            if not tensor.is_input:
                continue
            values = getattr(inputs, tensor.name, None)
            if values is None or values.shape != tensor.shape or values.dtype != tensor.kind:
                raise SelfOccError(
                    f'engine {self._path} takes "{tensor.name}" of shape {list(tensor.shape)} '
                    f'({tensor.kind}): the model has no such input'
                )
            np.copyto(tensor.values, values)

    def _read(self) -> dict[str, NDArray[Any]]:
        return {
            tensor.name: tensor.values.copy() for tensor in self._tensors if not tensor.is_input
        }

    def _enqueue(self) -> None:
        """Enqueue copies, engine and clocks."""
        stream = self._opened_stream
        self._driver.record(self._events[0], stream)
        self._copy_to_device([tensor for tensor in self._tensors if tensor.is_input])
        self._driver.record(self._events[1], stream)
        if self._graph is None:
            self._enqueue_engine()
        else:
            self._driver.launch_graph(self._graph, stream)
        self._driver.record(self._events[2], stream)
        for tensor in self._tensors:
            if not tensor.is_input and not tensor.is_mapped:
                self._driver.copy_to_host(tensor.host.array, tensor.device_pointer, stream)
        self._driver.record(self._events[3], stream)

    def _copy_to_device(self, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            if not tensor.is_mapped:
                self._driver.copy_to_device(
                    tensor.device_pointer, tensor.host.array, self._opened_stream
                )

    def _enqueue_engine(self) -> None:
        self._errors.clear()
        take_last_error()  # of another engine
        if not self._context.execute_async_v3(self._opened_stream):
            reason = reason_from(self._errors) or _SILENT
            raise SelfOccError(f'TensorRT refused to enqueue the engine: {reason}')

    def _try_graph(self, inputs: ModelInputs, outputs: Mapping[str, NDArray[Any]]) -> None:
        """Capture the engine's work, and keep the graph if it gives the same outputs.

        What a graph fails to compute is still in memory from the run before. So another run, with
        other inputs, comes between, and the outputs are spoilt.
        """
        try:
            graph = self._driver.capture(self._opened_stream, self._enqueue_engine)
        except SelfOccError as error:
            self.graph_refusal = f'no CUDA graph was captured: {error}'
            return
        try:
            self._run(_other_inputs(inputs))
            self._spoil_outputs()
            self._graph = graph
            self.graph_refusal = _difference(outputs, self._run(inputs))
        except SelfOccError as error:
            self.graph_refusal = f'the CUDA graph does not run: {error}'
        if self.graph_refusal is not None:
            self._graph = None
            self._driver.destroy_graph(graph)

    def _spoil_outputs(self) -> None:
        outputs = [tensor for tensor in self._tensors if not tensor.is_input]
        for tensor in outputs:
            tensor.host.array[:] = _SPOILT
        self._copy_to_device(outputs)

    def _taken(self) -> list[Callable[[], None]]:
        """Return how to give back what was taken, newest first, and hold it no longer."""
        releases = list(self._releases())
        self._graph, self._events, self._stream, self._tensors = None, [], None, ()
        return releases

    def _releases(self) -> Iterator[Callable[[], None]]:
        if self._graph is not None:
            yield partial(self._driver.destroy_graph, self._graph)
        for event in self._events:
            yield partial(self._driver.destroy_event, event)
        if self._stream is not None:
            yield partial(self._driver.destroy_stream, self._stream)
        yield self._drop_engine
        for tensor in self._tensors:
            if not tensor.is_mapped:
                yield partial(self._driver.free, tensor.device_pointer)
            yield partial(self._driver.free_host, tensor.host)

    def _drop_engine(self) -> None:
        self._context = None  # first, for it lives on the engine
        self._engine = None

    @property
    def _opened_stream(self) -> int:
        if self._stream is None:
            raise SelfOccError(f'engine {self._path} is closed')
        return self._stream


def _load(trt: Any, path: Path, errors: list[str]) -> tuple[Any, Any]:
    """Return the engine of a file and a context to run it in; ``errors`` gets TensorRT's."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SelfOccError(f'cannot read engine {path}: {error.strerror}') from error
    take_last_error()  # of another engine
    engine = trt.Runtime(collecting_logger(trt, errors)).deserialize_cuda_engine(content)
    if engine is None:
        reason = reason_from(errors) or _SILENT
        raise SelfOccError(f'engine {path} does not load here ({reason}): {_REBUILD}')
    context = engine.create_execution_context()
    if context is None:
        raise _no_context(path, reason_from(errors))
    return engine, context


def _no_context(path: Path, reason: str | None) -> SelfOccError:
    if reason is None:
        return SelfOccError(f'there is not enough device memory for engine {path}: free some')
    return SelfOccError(
        f'engine {path} cannot be prepared to run ({reason}): if it is memory that lacks, free '
        f'some, otherwise {_REBUILD}'
    )


def _other_inputs(inputs: ModelInputs) -> ModelInputs:
    """Return inputs of which every value is another one."""
    random = np.random.default_rng(0)
    noise = random.integers(1, 256, inputs.images.shape, np.uint8)
    shift = random.uniform(1.0, 2.0, inputs.image_from_ego.shape).astype(np.float32)
    return ModelInputs(
        images=inputs.images ^ noise,
        image_from_ego=inputs.image_from_ego + shift,
        camera_mask=~inputs.camera_mask,
    )


def _difference(
    expected: Mapping[str, NDArray[Any]], actual: Mapping[str, NDArray[Any]]
) -> str | None:
    """Return in a sentence what a graph gives otherwise than the engine did."""
    for name, values in expected.items():
        tolerance = _SAME * float(np.nan_to_num(np.abs(values.astype(np.float64))).max(initial=0))
        if not np.allclose(actual[name], values, rtol=0, atol=tolerance, equal_nan=True):
            return f'the CUDA graph gives another "{name}" than the engine'
    return None


def _model_outputs(outputs: Mapping[str, NDArray[Any]]) -> ModelOutputs:
    missing = {'sdf', 'depth'} - set(outputs)
    if missing:
        raise SelfOccError(f'the engine gives no "{min(missing)}": export the model again')
    known = ('sdf', 'depth', 'semantics')
    return ModelOutputs(**{name: outputs[name] for name in known if name in outputs})
