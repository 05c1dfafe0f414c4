"""The verb ``build-engine``: a TensorRT engine for this device, ahead of the first drive."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from selfocc_core.engine.parity import DEFAULT_PRECISION, Precision
from selfocc_core.errors import SelfOccError

if TYPE_CHECKING:
    from selfocc_core.engine.builder import AcceptedEngine


@dataclass(frozen=True)
class BuildEngine:
    """Build the TensorRT engine of a model for this device, and check what it computes.

    Example: on the vehicle, float16, and int8 calibrated with a drive

        selfocc build-engine model.onnx
        selfocc build-engine model.onnx --precision int8 --bag drive.mcap
    """

    model: Positional[Path]
    """The .onnx file; its card and its golden file lie beside it."""
    precision: Precision = DEFAULT_PRECISION
    """Precision of the features; geometry and head are always float32. The node takes the one that
    its parameter engine_precision says."""
    bag: Path | None = None
    """Drive to calibrate int8 with; once is enough, the scales are kept in the cache."""
    cache: Path | None = None
    """Folder of engines; default is selfocc/engines in $XDG_CACHE_HOME or ~/.cache, the only one
    that the node looks into."""
    rebuild: bool = False
    """Build the engine even if there is one: modes that were refused before are tried again."""
    dry_run: bool = False
    """Say what would happen, and build nothing; needs neither TensorRT nor a GPU."""

    def run(self) -> None:
        """Build the engine, or find it in the cache.

        Raises:
            SelfOccError: The options contradict each other, a file is missing, there is no
                TensorRT or no GPU, or no engine computes what the model does.
        """
        from selfocc_core.backends.tensorrt import engine_folder

        if self.bag is not None and self.precision != 'int8':
            raise SelfOccError('--bag calibrates int8: give --precision int8 with it')
        cache = self.cache or engine_folder()
        if self.dry_run:
            self._say_what_would_happen(cache)
            return
        self._build(cache)

    def _say_what_would_happen(self, cache: Path) -> None:
        from selfocc_core.engine.dry_run import dry_run

        for line in dry_run(self.model, self.precision, cache, self.bag):
            print(line)

    def _build(self, cache: Path) -> None:
        from selfocc_core.backends.tensorrt import DeviceEngineRunner
        from selfocc_core.cuda.driver import open_driver
        from selfocc_core.engine.builder import engine_for
        from selfocc_core.engine.golden import Golden
        from selfocc_core.engine.tensorrt_compiler import tensorrt_compiler

        Golden.load_for(self.model)  # what is wrong with the files is told before the device
        compiler = tensorrt_compiler()
        driver = open_driver()
        try:
            self._calibrate(cache)
            with driver.current():
                runner = DeviceEngineRunner(driver)
                engine = engine_for(
                    self.model, self.precision, cache, runner, compiler, self.rebuild, _report
                )
        finally:
            driver.close()
        for line in lines_of(engine):
            print(line)

    def _calibrate(self, cache: Path) -> None:
        if self.bag is None:
            return
        from selfocc_core.engine.calibration import calibrate

        calibrate(self.model, self.bag).save(cache, self.model)


def lines_of(engine: AcceptedEngine) -> list[str]:
    """Return what to tell of an engine: why no better one, how far it is off, where it lies."""
    return [
        *(f'{refusal.mode}: refused: {refusal.reason}' for refusal in engine.reasons),
        *map(str, engine.verdict.differences),
        f'{engine.path} ({engine.mode}, {"cached" if engine.was_cached else "new"})',
    ]


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
