"""Something that plays TensorRT's part: its engines are the graphs, and ONNX Runtime runs them.

A plugin, of which ONNX Runtime has none, is played by the body of the operator.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from surround_model import surround_model

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.engine.builder import AcceptedEngine, engine_for
from selfocc_core.engine.compiler import CompiledEngine, EngineEnvironment, Progress
from selfocc_core.errors import SelfOccError

ORIN = EngineEnvironment('10.3.0', '12.6', '12.6', 'Orin', '8.7', 16, '12.6', '1', 'kernels')
THOR = replace(ORIN, gpu='Thor', compute_capability='11.0', multiprocessors=20)

MODE_OF_OPERATOR = {
    'SurroundDeformAttn': 'fused plugin',
    'MSDeformAttn': 'plugin',
    'MultiscaleDeformableAttnPlugin_TRT': 'stock',
}


def mode_of(graph: bytes) -> str:
    operators = {node.op_type for node in onnx.ModelProto.FromString(graph).graph.node}
    modes = [mode for operator, mode in MODE_OF_OPERATOR.items() if operator in operators]
    return modes[0] if modes else 'native'


class FakeCompiler:
    """Counts what it compiles, and refuses some modes, with some error."""

    def __init__(
        self,
        environment: EngineEnvironment = ORIN,
        refused: Collection[str] = (),
        stock_version: str | None = '1',
        log: Path | None = None,
        seconds: float = 0.0,
        error: Exception = SelfOccError('no such plugin'),  # noqa: B008
    ) -> None:
        self.environment, self.refused, self.stock_version = environment, refused, stock_version
        self.log, self.seconds, self.error = log, seconds, error
        self.compiled: list[str] = []
        self.timing_caches: list[bytes] = []

    def compile(self, graph: bytes, timing_cache: bytes, progress: Progress) -> CompiledEngine:
        mode = mode_of(graph)
        self.compiled.append(mode)
        self.timing_caches.append(timing_cache)
        if self.log is not None:
            with self.log.open('a') as stream:
                stream.write(f'{mode}\n')
        time.sleep(self.seconds)
        progress('building', 1, 1)
        if mode in self.refused:
            raise self.error
        return CompiledEngine(graph, b'timings')


class FakeRunner:
    """Runs graphs; what it makes of some modes is wrong."""

    def __init__(self, wrong: Collection[str] = ()) -> None:
        self.wrong = wrong
        self.runs = 0

    def run(self, engine: Path, inputs: ModelInputs) -> ModelOutputs:
        self.runs += 1
        content = engine.read_bytes()
        try:
            mode = mode_of(content)
        except Exception as error:
            raise SelfOccError('the engine does not load') from error
        graph = content if mode == 'native' else surround_model().SerializeToString()
        session = ort.InferenceSession(graph, providers=['CPUExecutionProvider'])
        sdf, depth = session.run(['sdf', 'depth'], vars(inputs))
        return ModelOutputs(np.zeros_like(sdf) if mode in self.wrong else sdf, depth)


def build_elsewhere(model: Path, cache: Path, log: Path, seconds: float) -> AcceptedEngine:
    """Build in a process of its own, which multiprocessing starts."""
    return engine_for(model, 'fp32', cache, FakeRunner(), FakeCompiler(log=log, seconds=seconds))
