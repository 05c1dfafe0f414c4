"""Parse and build a model's native graph with TensorRT-RTX, which needs no GPU for that.

It is another product than the TensorRT of a vehicle, without its plugins, and runs nothing here;
but it has NVIDIA's parser and builder, and says how much memory the activations take. It may abort
the process, so run it in one of its own: ``python -m selfocc_core.engine.rtx_check MODEL`` prints
a JSON.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from selfocc_core.engine.compiler import EngineEnvironment
from selfocc_core.engine.graph_modes import rewrite
from selfocc_core.engine.onnx_library import load_model
from selfocc_core.engine.parity import Precision
from selfocc_core.engine.precision import in_precision
from selfocc_core.engine.scales import Scales
from selfocc_core.engine.tensorrt_compiler import TensorRtCompiler
from selfocc_core.errors import SelfOccError

TARGET = 'SM86'  # the nearest to Orin (8.7) that it builds for
_ACTIVATIONS = re.compile(r'Total Activation Memory: (\d+) bytes')


@dataclass(frozen=True)
class RtxReport:
    """What TensorRT-RTX made of a graph.

    Attributes:
        version: Of TensorRT-RTX.
        target: Architecture that it built for.
        engine_bytes: Size of the engine.
        activation_bytes: Memory of the activations while it runs; ``None`` if it does not say.
    """

    version: str
    target: str
    engine_bytes: int
    activation_bytes: int | None


def check(model_path: Path, precision: Precision = 'fp32', cache: Path | None = None) -> RtxReport:
    """Parse and build the native graph of a model.

    Args:
        model_path: The ``.onnx`` file.
        precision: Precision of the features.
        cache: Folder with the scales, for ``int8``.

    Raises:
        SelfOccError: TensorRT-RTX is not installed or refuses the graph.
    """
    tensorrt_rtx = _tensorrt_rtx()
    scales = Scales.load(cache, model_path) if cache is not None else None
    graph = rewrite(in_precision(load_model(model_path), precision, scales), 'native')
    environment = EngineEnvironment(tensorrt_rtx.__version__, '', '', '', TARGET, 0, '', '', '')
    messages: list[str] = []
    compiler = TensorRtCompiler(tensorrt_rtx, environment, _for_target, messages.append)
    built = compiler.compile(graph.SerializeToString(), b'', _silent)
    return RtxReport(
        tensorrt_rtx.__version__, TARGET, len(built.engine), activation_bytes(messages)
    )


def activation_bytes(messages: list[str]) -> int | None:
    """Return the memory of the activations that a builder told of."""
    found = [match for message in messages if (match := _ACTIVATIONS.search(message))]
    return int(found[-1].group(1)) if found else None


def _tensorrt_rtx() -> Any:
    try:
        return import_module('tensorrt_rtx')
    except ImportError as error:
        raise SelfOccError(
            'this check needs TensorRT-RTX: pip install tensorrt-rtx-cu13'
        ) from error


def _for_target(config: Any) -> None:
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(_tensorrt_rtx().ComputeCapability, TARGET), 0)


def _silent(phase: str, done: int, total: int) -> None:
    """Take progress that nobody watches."""


def main(arguments: list[str]) -> int:
    """Check the model that the arguments name, in a precision, with scales from a folder."""
    model_path, *rest = arguments
    precision: Any = rest[0] if rest else 'fp32'
    try:
        report = check(Path(model_path), precision, Path(rest[1]) if len(rest) > 1 else None)
    except SelfOccError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(asdict(report)))
    return 0


if __name__ == '__main__':
    raise SystemExit(main(sys.argv[1:]))
