"""Element types of the tensors in a graph."""

from __future__ import annotations

from typing import Any

from selfocc_core.engine.onnx_library import onnx_library
from selfocc_core.errors import SelfOccError


def tensor_types(model: Any) -> dict[str, int]:
    """Return the element type of every tensor that ONNX can infer, by name."""
    graph = onnx_library().shape_inference.infer_shapes(model).graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def float_type_of(types: dict[str, int], name: str) -> int:
    """Return the element type of a float tensor.

    Raises:
        SelfOccError: It is not known, or is neither float32 nor float16.
    """
    proto = onnx_library().TensorProto
    if types.get(name) not in {proto.FLOAT, proto.FLOAT16}:
        raise SelfOccError(
            f'tensor "{name}" of the model is not known to be float32 or float16: export the '
            'model again'
        )
    return types[name]
