"""TensorRT, from version 10.3 to 11, as the compiler of engines.

Flags of the network came and went: explicit batches are the only ones since 10, strongly typed
networks the only ones in 11. A flag is given where the installed version has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from selfocc_core.engine.compiler import CompiledEngine, EngineEnvironment, Progress
from selfocc_core.engine.stock_attention import STOCK
from selfocc_core.engine.tensorrt_log import collecting_logger, reason_from
from selfocc_core.engine.tensorrt_progress import progress_monitor
from selfocc_core.errors import SelfOccError
from selfocc_core.plugin.last_error import take_last_error

if TYPE_CHECKING:
    from selfocc_core.cuda.driver import DeviceInfo

_OLDEST = (10, 3)
_NETWORK_FLAGS = ('EXPLICIT_BATCH', 'STRONGLY_TYPED')
# Most memory that a layer may use for itself. TensorRT may make one layer of all between two
# plugins, and of the whole native graph: nuscenes_occ then takes 2 GB.
_WORKSPACE_BYTES = 4 * 2**30
_NONE, _SILENT = 'none', 'it does not say why'


def tensorrt_compiler() -> TensorRtCompiler:
    """Return TensorRT on this machine's GPU, with our plugins registered.

    Raises:
        SelfOccError: TensorRT is missing or too old, or there is no GPU.
    """
    from selfocc_core.backends.tensorrt import tensorrt_with_plugins

    trt = tensorrt_with_plugins()
    _check_version(trt.__version__)
    return TensorRtCompiler(trt, device_environment(trt))


def device_environment(trt: Any) -> EngineEnvironment:
    """Return what an engine built here would be valid for.

    Args:
        trt: The module ``tensorrt``.

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
        tensorrt=trt.__version__,
        cuda_driver=_dotted(info.driver_version),
        cuda_runtime=_dotted(info.runtime_version or ()),
        gpu=info.name,
        compute_capability=_dotted(info.compute_capability),
        multiprocessors=info.multiprocessors,
        nvrtc=_nvrtc_version(info),
        stock_plugin=stock_version(trt) or _NONE,
        kernels=source_hash(),
    )


def stock_version(trt: Any) -> str | None:
    """Return the newest version of NVIDIA's plugin for deformable attention; ``None`` without."""
    initialise = getattr(trt, 'init_libnvinfer_plugins', None)
    if initialise is not None:
        initialise(None, '')
    creators = trt.get_plugin_registry().all_creators
    versions = [creator.plugin_version for creator in creators if creator.name == STOCK]
    return max(versions, key=int, default=None)


def _nvrtc_version(device: DeviceInfo) -> str:
    from selfocc_core.plugin.nvrtc import compiler_for

    try:
        return compiler_for(device.architecture, device.driver_version).version
    except SelfOccError:  # our plugins are not possible then, other modes are
        return _NONE


class TensorRtCompiler:
    """An ``EngineCompiler`` on a module with TensorRT's interface.

    Args:
        trt: The module ``tensorrt``, or ``tensorrt_rtx``, which builds without a GPU.
        environment: What engines from here are valid for.
        configure: Sets what only one of these modules has on a builder configuration.
        hear: Is told what TensorRT says while it builds.
    """

    def __init__(
        self,
        trt: Any,
        environment: EngineEnvironment,
        configure: Callable[[Any], None] = lambda _: None,
        hear: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._trt, self._environment, self._configure = trt, environment, configure
        self._hear = hear
        self._errors: list[str] = []

    @property
    def environment(self) -> EngineEnvironment:
        """What an engine from here is valid for."""
        return self._environment

    @property
    def stock_version(self) -> str | None:
        """Newest version of NVIDIA's plugin for deformable attention that is registered."""
        return stock_version(self._trt)

    def compile(self, graph: bytes, timing_cache: bytes, progress: Progress) -> CompiledEngine:
        """Parse and build.

        Raises:
            SelfOccError: TensorRT refuses the graph, or has no device.
        """
        self._errors.clear()
        take_last_error()  # of a build before this one
        logger = collecting_logger(self._trt, self._errors, self._hear)
        builder = self._created(self._trt.Builder, logger)
        network = builder.create_network(self._network_flags())
        self._parse(network, logger, graph)
        config = self._config(builder, progress)
        cache = _timing_cache(config, timing_cache)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            reason = reason_from(self._errors)
            raise SelfOccError(f'TensorRT cannot build it: {reason or _SILENT}')
        return CompiledEngine(bytes(engine), bytes(cache.serialize()) if cache else b'')

    def _created(self, kind: Callable[[Any], Any], logger: Any) -> Any:
        """Create a builder, whose constructor fails without a device."""
        try:
            return kind(logger)
        except (TypeError, RuntimeError) as error:
            reason = reason_from(self._errors) or _SILENT
            raise SelfOccError(
                f'TensorRT finds no usable GPU ({reason}): check the driver with "selfocc '
                'device-check"'
            ) from error

    def _network_flags(self) -> int:
        known = self._trt.NetworkDefinitionCreationFlag
        found = [getattr(known, name) for name in _NETWORK_FLAGS if hasattr(known, name)]
        return sum(1 << int(flag) for flag in found)

    def _parse(self, network: Any, logger: Any, graph: bytes) -> None:
        parser = self._trt.OnnxParser(network, logger)
        if not parser.parse(graph):
            errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
            reason = reason_from(errors[:1] or self._errors)  # the others follow from the first
            raise SelfOccError(f'TensorRT cannot parse it: {reason or _SILENT}')

    def _config(self, builder: Any, progress: Progress) -> Any:
        trt, config = self._trt, builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
        config.clear_flag(trt.BuilderFlag.TF32)  # float32 convolutions must not round their inputs
        if hasattr(trt, 'IProgressMonitor'):
            config.progress_monitor = progress_monitor(trt, progress)
        self._configure(config)
        return config


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
