"""What ``build-engine`` would do, told without TensorRT and without a GPU."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from selfocc_core.engine.golden import Golden
from selfocc_core.engine.graph_modes import MODES, Mode, rewrite
from selfocc_core.engine.half_precision import half_nodes, with_half_features
from selfocc_core.engine.onnx_library import load_model
from selfocc_core.engine.parity import TOLERANCES, Precision
from selfocc_core.engine.quantization import convolutions, quantized, quantized_tensors
from selfocc_core.engine.scales import Scales
from selfocc_core.errors import SelfOccError


def dry_run(
    model_path: Path, precision: Precision, cache: Path, bag: Path | None
) -> Iterator[str]:
    """Yield in lines what would happen.

    Args:
        model_path: The ``.onnx`` file; card and golden file lie beside it.
        precision: Precision of the features.
        cache: Folder of engines.
        bag: Drive to calibrate int8 with.

    Raises:
        SelfOccError: Model, golden file or scales are missing or damaged.
    """
    model = load_model(model_path)
    Golden.load_for(model_path)
    yield f'golden outputs: {Golden.path_for(model_path)}'
    yield f'TensorRT: {_tensorrt()}'
    yield f'cache: {cache} ({len(list(cache.glob("*.engine")))} engines)'
    graph = yield from _in_precision(model, model_path, precision, cache, bag)
    for number, mode in enumerate(MODES, start=1):
        yield f'{number}. {mode}: {_outlook(graph, mode)}'
    tolerance = TOLERANCES[precision]
    yield (
        f'the first that builds and runs is accepted if at most {tolerance.share:.1%} of each '
        f'output are off by more than {tolerance.off:.1%} of its range, and by at most '
        f'{tolerance.mean:.2%} on average'
    )


def _in_precision(
    model: Any, model_path: Path, precision: Precision, cache: Path, bag: Path | None
) -> Generator[str, None, Any]:
    """Yield what is done for a precision, and return the graph."""
    if precision == 'int8':
        yield f'int8: {len(convolutions(model))} convolutions, {_scales(model_path, cache, bag)}'
        model = quantized(model, dict.fromkeys(quantized_tensors(model), 1.0))
    if precision != 'fp32':
        yield f'float16: {len(half_nodes(model))} of {len(model.graph.node)} nodes'
        model = with_half_features(model)
    return model


def _scales(model_path: Path, cache: Path, bag: Path | None) -> str:
    if bag is not None:
        return f'to be calibrated with {bag}'
    return f'calibrated with {Scales.load(cache, model_path).drive}'


def _outlook(graph: Any, mode: Mode) -> str:
    try:
        rewritten = rewrite(graph, mode)
    except SelfOccError as error:
        return f'not possible: {error}'
    plugins = [node.op_type for node in rewritten.graph.node if node.domain]
    kinds = ', '.join(f'{plugins.count(kind)} {kind}' for kind in dict.fromkeys(plugins))
    return f'{len(rewritten.graph.node)} nodes, of plugins: {kinds or "none"}'


def _tensorrt() -> str:
    try:
        tensorrt = import_module('tensorrt')
    except ImportError as error:
        return f'cannot be imported ({error}), so that nothing can be built here'
    return str(tensorrt.__version__)
