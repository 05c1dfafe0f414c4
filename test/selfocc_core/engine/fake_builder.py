"""As much of TensorRT's Python module as building an engine touches, in two of its ages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class _Base:
    """Stands for classes of TensorRT that are derived from."""


class _Logger(_Base):
    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)


class FakeTensorRt:
    """A module that notes what it was asked.

    Args:
        version: Version to have; from 11 on there are no network flags but strong types.
        refusal: What the parser says of every graph; nothing for it to accept.
        builds: Whether building succeeds.
        has_device: Whether a builder can be made.
        creators: Names and versions of registered plugins.
        plugin: Is called while building, as the bindings call a method of a Python plugin: what
            it raises goes to stderr, and the build fails.
    """

    ILogger, IProgressMonitor = _Logger, _Base

    def __init__(
        self,
        version: str = '10.3.0',
        refusal: str = '',
        builds: bool = True,
        has_device: bool = True,
        creators: tuple[tuple[str, str], ...] = (),
        plugin: Callable[[], object] = lambda: None,
    ) -> None:
        self.__version__, self.refusal = version, refusal
        self.builds, self.has_device, self.plugin = builds, has_device, plugin
        flags = {'STRONGLY_TYPED': 1}
        if version.startswith('10'):
            flags['EXPLICIT_BATCH'] = 0
        self.NetworkDefinitionCreationFlag = SimpleNamespace(**flags)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE='workspace')
        self.BuilderFlag = SimpleNamespace(TF32='tf32')
        self._creators = [SimpleNamespace(name=n, plugin_version=v) for n, v in creators]
        self.network_flags: int | None = None
        self.config = FakeConfig()

    def init_libnvinfer_plugins(self, logger: Any, namespace: str) -> None:
        self.initialised = True

    def get_plugin_registry(self) -> Any:
        return SimpleNamespace(all_creators=self._creators)

    def Builder(self, logger: Any) -> Any:  # noqa: N802
        if not self.has_device:
            logger.log(1, 'CUDA initialization failure with error: 35')
            raise TypeError('pybind11::init(): factory function returned nullptr')
        return FakeBuilder(self, logger)

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802
        error = SimpleNamespace(desc=lambda: self.refusal)
        return SimpleNamespace(
            parse=lambda graph: not self.refusal,
            num_errors=int(bool(self.refusal)),
            get_error=lambda index: error,
        )


class FakeConfig:
    """A builder configuration."""

    progress_monitor: Any = None

    def __init__(self) -> None:
        self.pools: dict[str, int] = {}
        self.cleared: list[str] = []
        self.tried_caches: list[bytes] = []

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.pools[pool] = size

    def clear_flag(self, flag: str) -> None:
        self.cleared.append(flag)

    def create_timing_cache(self, content: bytes) -> Any:
        self.tried_caches.append(content)
        return SimpleNamespace(serialize=lambda: b'new timings', content=content)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        return cache.content != b'of another device'


class FakeBuilder:
    """A builder that goes through two phases, one within the other."""

    def __init__(self, trt: FakeTensorRt, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def create_network(self, flags: int) -> object:
        self._trt.network_flags = flags
        return object()

    def create_builder_config(self) -> FakeConfig:
        return self._trt.config

    def build_serialized_network(self, network: object, config: FakeConfig) -> bytes | None:
        monitor = config.progress_monitor
        monitor.phase_start('Building', None, 2)
        monitor.phase_start('Timing', 'Building', 9)
        assert monitor.step_complete('Timing', 0)
        assert monitor.step_complete('Building', 0)
        monitor.phase_finish('Building')
        self._logger.log(3, 'Total Activation Memory: 12 bytes')
        for tactic in range(100):
            self._logger.log(4, f'Tactic {tactic} took 1 ms')
        try:
            self._trt.plugin()
        except Exception as error:
            print(f'[ERROR] Exception thrown from configure_plugin() {error}', file=sys.stderr)
            self._logger.log(1, 'a plugin failed')
            return None
        if not self._trt.builds:
            self._logger.log(1, 'no implementation for node')
            return None
        return b'engine'
