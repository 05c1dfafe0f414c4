"""From a model file to an engine that computes what the model computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfocc_core import __version__
from selfocc_core.engine.cache import EngineCache, EngineKey, EngineRecord, Refusal
from selfocc_core.engine.compiler import CompilerOptions, EngineCompiler, Progress
from selfocc_core.engine.golden import Golden
from selfocc_core.engine.graph_modes import MODES, Mode, rewrite
from selfocc_core.engine.onnx_library import load_model
from selfocc_core.engine.parity import Precision, Verdict, judge
from selfocc_core.engine.precision import in_precision
from selfocc_core.engine.runner import EngineRunner
from selfocc_core.engine.scales import Scales
from selfocc_core.errors import SelfOccError
from selfocc_core.files import sha256_of

Report = Callable[[str], None]


@dataclass(frozen=True)
class AcceptedEngine:
    """An engine that gave the golden outputs on this device.

    Attributes:
        path: The engine file.
        mode: Which graph TensorRT was given.
        reasons: Better modes that were tried, and why they were refused.
        verdict: How far it is from the golden outputs.
        was_cached: Whether it had been built before.
    """

    path: Path
    mode: Mode
    reasons: tuple[Refusal, ...]
    verdict: Verdict
    was_cached: bool


def engine_for(
    model_path: Path,
    precision: Precision,
    cache: Path,
    runner: EngineRunner,
    compiler: EngineCompiler | None = None,
    options: CompilerOptions | None = None,
    report: Report = lambda _: None,
) -> AcceptedEngine:
    """Return an engine of a model for this device, from the cache or newly built.

    Whether cached or new, it must give the golden outputs here. Modes are tried best first; that
    one was refused is kept with the engine, and it is not tried again.

    Args:
        model_path: The ``.onnx`` file; card and golden file lie beside it.
        precision: Precision of the features; ``int8`` needs scales in the cache, see
            :class:`~selfocc_core.engine.scales.Scales`.
        cache: Folder of engines.
        runner: Runs an engine file on this device.
        compiler: Default is TensorRT.
        options: What else the compiler shall know.
        report: Is told in sentences what happens.

    Raises:
        SelfOccError: The model, its golden file or the scales are missing or damaged, TensorRT or
            the device are missing, the cache cannot be written, or no mode gives the outputs.
    """
    golden = Golden.load_for(model_path)
    scales = Scales.load(cache, model_path) if precision == 'int8' else None
    if compiler is None:
        from selfocc_core.engine.tensorrt_compiler import tensorrt_compiler

        compiler = tensorrt_compiler()
    build = _Build(
        model_path,
        scales,
        EngineCache(cache),
        engine_key(model_path, precision, scales, compiler, options or CompilerOptions()),
        golden,
        runner,
        compiler,
        report,
    )
    return build.engine()


def engine_key(
    model_path: Path,
    precision: Precision,
    scales: Scales | None,
    compiler: EngineCompiler,
    options: CompilerOptions,
) -> EngineKey:
    """Return what an engine depends on."""
    return EngineKey(
        sha256_of(model_path),
        precision,
        scales.digest if scales else '',
        __version__,
        compiler.environment,
        options,
    )


@dataclass(frozen=True, eq=False)
class _Build:
    """One way from a model to an engine."""

    model_path: Path
    scales: Scales | None
    cache: EngineCache
    key: EngineKey
    golden: Golden
    runner: EngineRunner
    compiler: EngineCompiler
    report: Report

    def engine(self) -> AcceptedEngine:
        """Return the cached engine if it is good, otherwise build one."""
        path = self.cache.engine_path(self.model_path.stem, self.key)
        with self.cache.locked(path, self.report):
            return self._cached(path) or self._built(path)

    def _cached(self, path: Path) -> AcceptedEngine | None:
        record = self.cache.find(path, self.key)
        if record is None:
            return None
        verdict = self._verdict(path)
        if verdict.accepted:
            return AcceptedEngine(path, record.mode, record.refusals, verdict, was_cached=True)
        self.report(f'cached engine {path.name} is built again: {verdict.refusal}')
        self.cache.remove(path)
        return None

    def _built(self, path: Path) -> AcceptedEngine:
        model = in_precision(load_model(self.model_path), self.key.precision, self.scales)
        refusals: list[Refusal] = []
        with self.cache.draft(path) as draft:
            for mode in MODES:
                self.report(f'{mode}: building')
                verdict = self._tried(model, mode, draft)
                if verdict.refusal is None:
                    record = self._record(mode, tuple(refusals), draft)
                    self.cache.accept(draft, path, record)
                    return AcceptedEngine(path, mode, record.refusals, verdict, was_cached=False)
                self.report(f'{mode}: refused: {verdict.refusal}')
                refusals.append(Refusal(mode, verdict.refusal))
        reasons = '; '.join(f'{refusal.mode}: {refusal.reason}' for refusal in refusals)
        raise SelfOccError(
            f'no engine of {self.model_path} computes what the model does ({reasons}): use '
            'onnxruntime, or report this with the output of "selfocc device-check"'
        )

    def _tried(self, model: Any, mode: Mode, draft: Path) -> Verdict:
        """Build an engine of a mode as a draft and judge it."""
        try:
            engine = self._compiled(rewrite(model, mode, self._stock_version(mode)))
        except SelfOccError as error:
            return Verdict((), str(error))
        self.cache.write(draft, engine)  # that this fails is no reason to try another mode
        return self._verdict(draft)

    def _stock_version(self, mode: Mode) -> str:
        version = self.compiler.stock_version if mode == 'stock' else ''
        if version is None:
            raise SelfOccError("this TensorRT lacks NVIDIA's plugin: install libnvinfer-plugin")
        return version

    def _compiled(self, graph: Any) -> bytes:
        environment = self.key.environment
        compiled = self.compiler.compile(
            graph.SerializeToString(),
            self.key.options,
            self.cache.timing_cache(environment),
            tenths(self.report),
        )
        self.cache.keep_timing_cache(environment, compiled.timing_cache)
        return compiled.engine

    def _verdict(self, engine: Path) -> Verdict:
        """Run an engine on the golden inputs and compare."""
        try:
            outputs = self.runner.run(engine, self.golden.inputs)
        except SelfOccError as error:
            return Verdict((), f'it does not run here: {error}')
        return judge(self.golden.outputs, outputs, self.key.precision)

    def _record(self, mode: Mode, refusals: tuple[Refusal, ...], draft: Path) -> EngineRecord:
        return EngineRecord(
            key=self.key, mode=mode, refusals=refusals, engine_sha256=sha256_of(draft)
        )


def tenths(report: Report) -> Progress:
    """Return what tells of a build each time another tenth of a phase is done, and not more."""
    told: set[tuple[str, int]] = set()

    def progress(phase: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if done and (phase, tenth) not in told:
            told.add((phase, tenth))
            report(f'{phase}: {10 * tenth} %')

    return progress
