"""What tensors hold that depend on none of a graph's inputs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from numpy.typing import NDArray

from selfocc_core.backends.onnxruntime import CPU, import_runtime
from selfocc_core.engine.onnx_library import onnx_library


def constant_values(model: Any, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Compute constants with ONNX Runtime, which the golden outputs are of, too.

    Args:
        model: The ``ModelProto``.
        names: Tensors that depend on initializers alone.
    """
    if not names:
        return {}
    wanted = sorted(names)
    graph = _graph_of(model, wanted).SerializeToString()
    session = import_runtime().InferenceSession(graph, providers=[CPU])
    return dict(zip(wanted, session.run(wanted, {}), strict=True))


def _graph_of(model: Any, names: list[str]) -> Any:
    """Return a model without inputs that gives some constants of another."""
    onnx, needed, nodes = onnx_library(), set(names), []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    outputs = [onnx.ValueInfoProto(name=name) for name in names]  # types are inferred
    initializers = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    graph = onnx.helper.make_graph(nodes[::-1], 'constants', [], outputs, initializers)
    return onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
