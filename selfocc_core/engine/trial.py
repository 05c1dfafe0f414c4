"""One way to make an engine, tried: built, run on the golden inputs, and judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfocc_core.engine.compiler import CompiledEngine, EngineCompiler, Progress
from selfocc_core.engine.golden import Golden
from selfocc_core.engine.graph_modes import Mode, rewrite
from selfocc_core.engine.parity import Precision, Verdict, judge
from selfocc_core.engine.runner import EngineRunner
from selfocc_core.errors import SelfOccError


@dataclass(frozen=True, eq=False)
class Trial:
    """What engines of a model are built by and must stand.

    Attributes:
        golden: What they must compute.
        precision: Precision of the features.
        runner: Runs them on this device.
        compiler: Builds them.
    """

    golden: Golden
    precision: Precision
    runner: EngineRunner
    compiler: EngineCompiler

    def compiled(
        self, model: Any, mode: Mode, timing_cache: bytes, progress: Progress
    ) -> CompiledEngine:
        """Build an engine of a mode.

        Args:
            model: The ``ModelProto`` in the precision.
            mode: Which graph TensorRT is given.
            timing_cache: What an earlier build measured.
            progress: Is told how far the work has come.

        Raises:
            SelfOccError: The graph is refused, or has no such mode.
        """
        graph = rewrite(model, mode, self._stock_version() if mode == 'stock' else '')
        return self.compiler.compile(graph.SerializeToString(), timing_cache, progress)

    def judged(self, engine: Path) -> Verdict:
        """Run an engine on the golden inputs and compare.

        Raises:
            SelfOccError: It does not run here.
        """
        outputs = self.runner.run(engine, self.golden.inputs)
        return judge(self.golden.outputs, outputs, self.precision)

    def _stock_version(self) -> str:
        version = self.compiler.stock_version
        if version is None:
            raise SelfOccError("this TensorRT lacks NVIDIA's plugin: install libnvinfer-plugin")
        return version
