"""What compiles a graph to an engine: TensorRT, or in tests something that plays its part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

# Name of a phase, how many of its steps are done, and how many it has.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class EngineEnvironment:
    """What an engine is valid for, besides the model: another value of any means another engine.

    Attributes:
        tensorrt: Version of TensorRT.
        cuda_driver: Version of the CUDA driver.
        cuda_runtime: Version of the CUDA runtime.
        gpu: Name of the GPU.
        compute_capability: For example ``8.7``.
        multiprocessors: How many the GPU has switched on; power modes of a Jetson differ in it.
        nvrtc: Version of the compiler of our plugins' kernels; ``none`` without one.
        stock_plugin: Version of NVIDIA's own plugin for deformable attention; ``none`` without it.
        kernels: Hash of the sources that graphs and our plugins are made by.
    """

    tensorrt: str
    cuda_driver: str
    cuda_runtime: str
    gpu: str
    compute_capability: str
    multiprocessors: int
    nvrtc: str
    stock_plugin: str
    kernels: str


@dataclass(frozen=True)
class CompiledEngine:
    """An engine and what was measured on the way, which makes the next build faster."""

    engine: bytes
    timing_cache: bytes


class EngineCompiler(Protocol):
    """Compiles graphs on the device that shall run them."""

    @property
    def environment(self) -> EngineEnvironment:
        """What an engine from here is valid for."""

    @property
    def stock_version(self) -> str | None:
        """Version of NVIDIA's own plugin for deformable attention, ``None`` if there is none."""

    def compile(self, graph: bytes, timing_cache: bytes, progress: Progress) -> CompiledEngine:
        """Compile a strongly typed graph.

        Args:
            graph: A serialised ``ModelProto``.
            timing_cache: What an earlier build measured; what is damaged counts as nothing.
            progress: Is told how far the work has come.

        Raises:
            SelfOccError: The graph is refused.
        """
