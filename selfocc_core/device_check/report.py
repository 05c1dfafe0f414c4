"""The report of ``selfocc device-check``: what its JSON holds.

Fields are only added between versions of this package; ``format`` changes otherwise.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra='forbid', protected_namespaces=())


class Model(_Part):
    """The model that was checked: from its card."""

    name: str
    version: str
    onnx_sha256: str


class Machine(_Part):
    """The computer.

    Attributes:
        cpu: Name of the processor.
        cores: Cores that this process may use.
        memory_bytes: Main memory.
        system: Kernel and architecture.
        l4t: Release of Jetson Linux, for example ``36.4.3``; ``None`` elsewhere.
        power_mode: What ``nvpmodel -q`` says; ``None`` where there is none.
    """

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    l4t: str | None
    power_mode: str | None


class Software(_Part):
    """Versions; ``None`` of what is not installed.

    Attributes:
        selfocc: This package.
        python: Python.
        numpy: NumPy.
        onnxruntime: ONNX Runtime.
        onnxruntime_providers: What its build knows; whether they work, the backends say.
        tensorrt: TensorRT for Python.
        cuda_python: NVIDIA's binding.
        pycuda: The other binding.
        cuda_runtime: The runtime library.
        nvrtc: All run-time compilers found.
    """

    selfocc: str
    python: str
    numpy: str
    onnxruntime: str | None
    onnxruntime_providers: tuple[str, ...]
    tensorrt: str | None
    cuda_python: str | None
    pycuda: str | None
    cuda_runtime: str | None
    nvrtc: tuple[str, ...]


class Gpu(_Part):
    """The first CUDA device.

    Attributes:
        name: As NVIDIA calls it.
        architecture: For example ``sm_87``.
        multiprocessors: Streaming multiprocessors; power modes differ in it.
        integrated: Whether it shares the CPU's memory.
        memory_bytes: All of its memory.
        free_bytes: What of it was free.
        cuda_driver: Newest CUDA that the driver knows.
        binding: What this package reaches it through.
    """

    name: str
    architecture: str
    multiprocessors: int
    integrated: bool
    memory_bytes: int
    free_bytes: int
    cuda_driver: str
    binding: str


class Kernel(_Part):
    """A plugin's kernel, compiled for the device at the size of the full nuScenes model.

    Attributes:
        operator: The plugin.
        precision: Type of the values.
        registers: Registers of a thread.
        stack_bytes: Spilled bytes of a thread; 0 is as it should be.
        compile_s: How long compiling took.
        loads: Whether the driver loads it.
    """

    operator: str
    precision: str
    registers: int
    stack_bytes: int
    compile_s: float
    loads: bool


class OutputDifference(_Part):
    """How far an output is from the golden one, as shares of its range or of its values."""

    output: str
    largest: float
    mean: float
    off: float


class EngineMode(_Part):
    """One way to build an engine, and whether it computes what the model computes.

    Attributes:
        precision: Precision of the features.
        mode: Which graph TensorRT was given.
        accepted: Whether the outputs are the golden ones.
        reason: Why not.
        differences: Of each output that was compared.
        build_s: How long building took.
    """

    precision: str
    mode: str
    accepted: bool
    reason: str | None
    differences: tuple[OutputDifference, ...]
    build_s: float


class Latency(_Part):
    """Median and 95th percentile of a stage over some runs."""

    stage: str
    p50_ms: float
    p95_ms: float
    runs: int


class BackendCheck(_Part):
    """What a runtime does with the model.

    Attributes:
        name: The runtime.
        works: Whether it ran the model.
        reason: Why not.
        detail: Of TensorRT, mode and precision of the engine, whether a CUDA graph is used, and
            why better modes were not taken.
        latencies: Each stage that can be told apart; ``total`` is all of a call.
        device_memory_bytes: Memory of the device that it took.
    """

    name: str
    works: bool
    reason: str | None = None
    detail: str | None = None
    latencies: tuple[Latency, ...] = ()
    device_memory_bytes: int | None = None


class Failure(_Part):
    """A part of the check that could not be done, and why."""

    part: str
    sentence: str


class DeviceReport(_Part):
    """Everything that was found.

    Attributes:
        format: Version of this schema.
        created: When, in UTC (ISO 8601).
        complete: Whether the check came to its end.
        model: The model; ``None`` if it cannot be read.
        machine: The computer.
        software: Versions.
        gpu: The GPU; ``None`` without one.
        no_gpu: Why there is none.
        kernels: Of the plugins.
        engines: Every mode of an engine.
        preprocessing: From all cameras' images to the network's input, on the CPU.
        backends: Best first.
        chosen: The runtime that ``auto`` takes; ``None`` if none runs the model.
        peak_memory_bytes: Most main memory that the check had.
        failures: Parts that failed.
    """

    format: int = FORMAT
    created: str
    complete: bool = False
    model: Model | None = None
    machine: Machine | None = None
    software: Software | None = None
    gpu: Gpu | None = None
    no_gpu: str | None = None
    kernels: tuple[Kernel, ...] = ()
    engines: tuple[EngineMode, ...] = ()
    preprocessing: Latency | None = None
    backends: tuple[BackendCheck, ...] = ()
    chosen: str | None = None
    peak_memory_bytes: int = 0
    failures: tuple[Failure, ...] = ()
