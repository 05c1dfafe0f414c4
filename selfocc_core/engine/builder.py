"""From a model file to an engine that computes what the model computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfocc_core import __version__
from selfocc_core.engine.cache import EngineCache, EngineKey, EngineRecord, Refusal
from selfocc_core.engine.compiler import EngineCompiler, Progress
from selfocc_core.engine.golden import Golden
from selfocc_core.engine.graph_modes import MODES, Mode
from selfocc_core.engine.onnx_library import load_model
from selfocc_core.engine.parity import Precision, Verdict
from selfocc_core.engine.precision import in_precision
from selfocc_core.engine.runner import EngineRunner
from selfocc_core.engine.scales import Scales
from selfocc_core.engine.trial import Trial
from selfocc_core.errors import SelfOccError, sentence_of
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
    rebuild: bool = False,
    report: Report = lambda _: None,
) -> AcceptedEngine:
    """Return an engine of a model for this device, from the cache or newly built.

    Whether cached or new, it must give the golden outputs here. Modes are tried best first; that
    one was refused is kept with the engine, and it is not tried again. A cached engine that does
    not even run is not replaced: what keeps it from running, such as a lack of memory, may be over
    at the next start, where a lesser engine built meanwhile would stay.

    Args:
        model_path: The ``.onnx`` file; card and golden file lie beside it.
        precision: Precision of the features; ``int8`` needs scales in the cache, see
            :class:`~selfocc_core.engine.scales.Scales`.
        cache: Folder of engines.
        runner: Runs an engine file on this device.
        compiler: Default is TensorRT.
        rebuild: Whether to build it even if there is one.
        report: Is told in sentences what happens.

    Raises:
        SelfOccError: The model, its golden file or the scales are missing or damaged, TensorRT or
            the device are missing, the cache cannot be written, the cached engine does not run,
            or no mode gives the outputs.
    """
    golden = Golden.load_for(model_path)
    scales = Scales.load(cache, model_path) if precision == 'int8' else None
    if compiler is None:
        from selfocc_core.engine.tensorrt_compiler import tensorrt_compiler

        compiler = tensorrt_compiler()
    key = engine_key(model_path, precision, scales, compiler)
    trial = Trial(golden, precision, runner, compiler)
    return _Build(model_path, scales, EngineCache(cache), key, trial, report).engine(rebuild)


def engine_key(
    model_path: Path, precision: Precision, scales: Scales | None, compiler: EngineCompiler
) -> EngineKey:
    """Return what an engine depends on."""
    digest = scales.digest if scales else ''
    return EngineKey(sha256_of(model_path), precision, digest, __version__, compiler.environment)


@dataclass(frozen=True, eq=False)
class _Build:
    """One way from a model to an engine."""

    model_path: Path
    scales: Scales | None
    cache: EngineCache
    key: EngineKey
    trial: Trial
    report: Report

    def engine(self, rebuild: bool) -> AcceptedEngine:
        """Return the cached engine if it is good and wanted, otherwise build one."""
        path = self.cache.engine_path(self.model_path.stem, self.key)
        with self.cache.locked(path, self.report):
            return (None if rebuild else self._cached(path)) or self._built(path)

    def _cached(self, path: Path) -> AcceptedEngine | None:
        record = self.cache.find(path, self.key)
        if record is None:
            return None
        try:
            verdict = self.trial.judged(path)
        except Exception as error:
            raise SelfOccError(
                f'engine {path}, which was accepted before, does not run now '
                f'({sentence_of(error)}): free what else uses the GPU and start again, or build '
                'it anew with "selfocc build-engine --rebuild"'
            ) from error
        if verdict.accepted:
            return AcceptedEngine(path, record.mode, record.refusals, verdict, was_cached=True)
        self.report(f'cached engine {path.name} is built again: {verdict.refusal}')
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
        """Build an engine of a mode as a draft and judge it.

        Whatever a library raises is a reason to try the next mode, of which each needs less.
        """
        try:
            engine = self._compiled(model, mode)
        except Exception as error:
            return Verdict((), sentence_of(error))
        self.cache.write(draft, engine)  # that this fails is no reason to try another mode
        try:
            return self.trial.judged(draft)
        except Exception as error:
            return Verdict((), f'it does not run here: {sentence_of(error)}')

    def _compiled(self, model: Any, mode: Mode) -> bytes:
        environment = self.key.environment
        timing_cache = self.cache.timing_cache(environment)
        compiled = self.trial.compiled(model, mode, timing_cache, tenths(self.report))
        self.cache.keep_timing_cache(environment, compiled.timing_cache)
        return compiled.engine

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
