"""Every mode of an engine: does it build here, and does it compute what the model computes?"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfocc_core.device_check.report import EngineMode, OutputDifference
from selfocc_core.errors import sentence_of

if TYPE_CHECKING:
    from selfocc_core.engine.compiler import EngineCompiler
    from selfocc_core.engine.graph_modes import Mode
    from selfocc_core.engine.parity import Precision, Verdict
    from selfocc_core.engine.runner import EngineRunner
    from selfocc_core.engine.trial import Trial


def engine_modes(
    model_path: Path,
    precisions: Sequence[Precision],
    compiler: EngineCompiler,
    runner: EngineRunner,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[EngineMode]:
    """Yield each mode in each precision, once it was built and compared with the golden outputs.

    Engines of the cache are not used, and none is kept.

    Args:
        model_path: The ``.onnx`` file; card and golden file lie beside it.
        precisions: Which precisions.
        compiler: TensorRT.
        runner: Runs engines.
        report: Is told what is being built.

    Raises:
        SelfOccError: The model or its golden file cannot be used.
    """
    from selfocc_core.engine.golden import Golden
    from selfocc_core.engine.graph_modes import MODES
    from selfocc_core.engine.onnx_library import load_model
    from selfocc_core.engine.precision import in_precision
    from selfocc_core.engine.trial import Trial

    golden = Golden.load_for(model_path)
    for precision in precisions:
        model = in_precision(load_model(model_path), precision, None)
        trial = Trial(golden, precision, runner, compiler)
        for mode in MODES:
            report(f'{mode} engine, {precision}')
            yield _tried(model, mode, trial)


def _tried(model: Any, mode: Mode, trial: Trial) -> EngineMode:
    begin_s, built_s = time.perf_counter(), 0.0
    verdict: Verdict | None = None
    reason: str | None = None
    try:
        engine = trial.compiled(model, mode, b'', lambda *_: None).engine
        built_s = time.perf_counter() - begin_s
        with tempfile.TemporaryDirectory(prefix='selfocc-') as folder:
            path = Path(folder) / 'tried.engine'
            path.write_bytes(engine)
            verdict = trial.judged(path)
            reason = verdict.refusal
    except Exception as error:  # that this mode cannot be built is a finding
        reason = sentence_of(error)
    return EngineMode(
        precision=trial.precision,
        mode=mode,
        accepted=reason is None,
        reason=reason,
        differences=_differences(verdict),
        build_s=built_s,
    )


def _differences(verdict: Verdict | None) -> tuple[OutputDifference, ...]:
    return tuple(
        OutputDifference(output=found.name, largest=found.largest, mean=found.mean, off=found.off)
        for found in (verdict.differences if verdict else ())
    )
