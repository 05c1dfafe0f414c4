"""TensorRT, from version 10.3 to 11, as the compiler of engines.

Flags of the network came and went: explicit batches are the only ones since 10, strongly typed
networks the only ones in 11. A flag is given where the installed version has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selfocc_core.engine.compiler import (
    CompiledEngine,
    CompilerOptions,
    EngineEnvironment,
    Progress,
)
from selfocc_core.engine.stock_attention import STOCK
from selfocc_core.engine.tensorrt_log import collecting_logger
from selfocc_core.engine.tensorrt_progress import progress_monitor
from selfocc_core.errors import SelfOccError

_OLDEST = (10, 3)
_NETWORK_FLAGS = ('EXPLICIT_BATCH', 'STRONGLY_TYPED')


def tensorrt_compiler() -> TensorRtCompiler:
    """Return TensorRT on this machine's GPU, with our plugins registered.

    Raises:
        SelfOccError: TensorRT is missing or too old, or there is no GPU.
    """
    from selfocc_core.backends.tensorrt import tensorrt_with_plugins

    trt = tensorrt_with_plugins()
    _check_version(trt.__version__)
    return TensorRtCompiler(trt, device_environment(trt.__version__))


def device_environment(tensorrt_version: str) -> EngineEnvironment:
    """Return what an engine built here would be valid for.

    Raises:
        SelfOccError: There is no GPU or no binding for CUDA.
    """
    from selfocc_core.cuda.driver import open_driver
    from selfocc_core.plugin.source import source_hash

    driver = open_driver()
    try:
        info = driver.info
    finally:
        driver.close()
    return EngineEnvironment(
        tensorrt=tensorrt_version,
        cuda_driver=_dotted(info.driver_version),
        cuda_runtime=_dotted(info.runtime_version or ()),
        gpu=info.name,
        compute_capability=_dotted(info.compute_capability),
        multiprocessors=info.multiprocessors,
        kernels=source_hash(),
    )


class TensorRtCompiler:
    """An ``EngineCompiler`` on a module with TensorRT's interface.

    Args:
        trt: The module ``tensorrt``, or ``tensorrt_rtx``, which builds without a GPU.
        environment: What engines from here are valid for.
        configure: Sets what only one of these modules has on a builder configuration.
    """

    def __init__(
        self,
        trt: Any,
        environment: EngineEnvironment,
        configure: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self._trt, self._environment, self._configure = trt, environment, configure
        self.errors: list[str] = []
        self.messages: list[str] = []

    @property
    def environment(self) -> EngineEnvironment:
        """What an engine from here is valid for."""
        return self._environment

    @property
    def stock_version(self) -> str | None:
        """Newest version of NVIDIA's plugin for deformable attention that is registered."""
        initialise = getattr(self._trt, 'init_libnvinfer_plugins', None)
        if initialise is not None:
            initialise(None, '')
        creators = self._trt.get_plugin_registry().all_creators
        versions = [creator.plugin_version for creator in creators if creator.name == STOCK]
        return max(versions, key=int, default=None)

    def compile(
        self, graph: bytes, options: CompilerOptions, timing_cache: bytes, progress: Progress
    ) -> CompiledEngine:
        """Parse and build; ``errors`` has TensorRT's errors afterwards, ``messages`` all it said.

        Raises:
            SelfOccError: TensorRT refuses the graph, or has no device.
        """
        self.errors.clear()
        self.messages.clear()
        logger = collecting_logger(self._trt, self.errors, self.messages)
        builder = self._created(self._trt.Builder, logger)
        network = builder.create_network(self._network_flags())
        self._parse(network, logger, graph)
        config = self._config(builder, options, progress)
        cache = _timing_cache(config, timing_cache)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise SelfOccError(f'TensorRT cannot build it: {self._complaint()}')
        return CompiledEngine(bytes(engine), bytes(cache.serialize()) if cache else b'')

    def _created(self, kind: Callable[[Any], Any], logger: Any) -> Any:
        """Create a builder, whose constructor fails without a device."""
        try:
            return kind(logger)
        except (TypeError, RuntimeError) as error:
            raise SelfOccError(
                f'TensorRT finds no usable GPU ({self._complaint()}): check the driver with '
                '"selfocc device-check"'
            ) from error

    def _network_flags(self) -> int:
        known = self._trt.NetworkDefinitionCreationFlag
        found = [getattr(known, name) for name in _NETWORK_FLAGS if hasattr(known, name)]
        return sum(1 << int(flag) for flag in found)

    def _parse(self, network: Any, logger: Any, graph: bytes) -> None:
        parser = self._trt.OnnxParser(network, logger)
        if not parser.parse(graph):
            errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
            raise SelfOccError(f'TensorRT cannot parse it: {(errors or [self._complaint()])[0]}')

    def _config(self, builder: Any, options: CompilerOptions, progress: Progress) -> Any:
        trt, config = self._trt, builder.create_builder_config()
        workspace = options.workspace_mib * 2**20
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
        if not options.tf32:
            config.clear_flag(trt.BuilderFlag.TF32)
        if hasattr(trt, 'IProgressMonitor'):
            config.progress_monitor = progress_monitor(trt, progress)
        self._configure(config)
        return config

    def _complaint(self) -> str:
        return self.errors[-1] if self.errors else 'it does not say why'


def _timing_cache(config: Any, content: bytes) -> Any | None:
    """Give a builder what earlier builds measured; damaged or foreign content counts as nothing.

    Returns:
        The timing cache, ``None`` where this TensorRT has none.
    """
    if not hasattr(config, 'create_timing_cache'):
        return None
    for candidate in (content, b''):
        cache = config.create_timing_cache(candidate)
        if cache and config.set_timing_cache(cache, ignore_mismatch=False):
            return cache
    return None


def _check_version(version: str) -> None:
    numbers = tuple(int(part) for part in version.split('.')[:2])
    if numbers < _OLDEST:
        raise SelfOccError(
            f'TensorRT {version} is too old: install {_dotted(_OLDEST)} or newer (JetPack 6.1)'
        )


def _dotted(numbers: tuple[int, ...]) -> str:
    return '.'.join(str(number) for number in numbers)
