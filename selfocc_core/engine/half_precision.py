"""Features in float16, everything else in float32, written into the graph.

TensorRT is given strongly typed graphs: what type a tensor has is what the graph says, on every
version alike. Geometry, softmax, norms and the head stay float32, as locations in float16 are 40
times less accurate; attention takes float16 values and accumulates in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from selfocc_core.engine.image_path import constant_names, feature_inputs, image_path
from selfocc_core.engine.onnx_library import onnx_library
from selfocc_core.onnx_operators import DOMAIN

_QUANTIZERS = {'QuantizeLinear', 'DequantizeLinear'}
_LARGEST = float(np.finfo(np.float16).max)
_VALUE_INPUT = 0


def with_half_features(model: Any) -> Any:
    """Return a model whose features are float16; inputs and outputs keep their types.

    Convolutions that are quantized, and what lies between them, stay as they are.
    """
    converted = onnx_library().ModelProto()
    converted.CopyFrom(model)
    _Conversion(converted).run()
    return converted


def half_nodes(model: Any) -> list[Any]:
    """Return the nodes that :func:`with_half_features` computes in float16."""
    waiting = _before_quantizers(model)
    dequantized = _dequantized(model)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    return [
        node
        for node in image_path(model)
        if not waiting.intersection(node.output)
        and node.op_type not in _QUANTIZERS
        and not dequantized.intersection(node.input)
        and all(_fits(initializers.get(node.input[place])) for place in feature_inputs(node))
    ]


class _Conversion:
    """Goes through the graph once and says for each tensor which type it has now."""

    def __init__(self, model: Any) -> None:
        self._onnx, self._model, self._graph = onnx_library(), model, model.graph
        self._half_outputs = {node.output[0] for node in half_nodes(model)}
        self._constants = constant_names(model)
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._is_half: set[str] = set()
        self._made: set[str] = set()

    def run(self) -> None:
        nodes = list(self._graph.node)
        del self._graph.node[:]
        del self._graph.value_info[:]  # their types are no longer true
        for node in nodes:
            self._convert(node)
        for output in self._graph.output:
            self._give_back(output.name)
        self._drop_unused()

    def _convert(self, node: Any) -> None:
        if node.output[0] in self._half_outputs:
            for place in feature_inputs(node):
                node.input[place] = self._as_half(node.input[place])
            self._is_half.update(node.output)
            self._graph.node.append(node)
            return
        takes_half_value = node.domain == DOMAIN and node.input[_VALUE_INPUT] in self._is_half
        for place, name in enumerate(node.input):
            if name in self._is_half and not (takes_half_value and place == _VALUE_INPUT):
                node.input[place] = self._as_float(name)
        self._graph.node.append(node)
        if takes_half_value:
            self._is_half.update(node.output)  # attention gives the type of its values

    def _as_half(self, name: str) -> str:
        if name in self._is_half:
            return name
        tensor = self._initializers.get(name)
        if tensor is None:
            return self._cast(name, f'{name}/half', self._onnx.TensorProto.FLOAT16)
        if f'{name}/half' not in self._made:
            self._made.add(f'{name}/half')
            values = self._onnx.numpy_helper.to_array(tensor).astype(np.float16)
            half = self._onnx.numpy_helper.from_array(values, f'{name}/half')
            self._graph.initializer.append(half)
        return f'{name}/half'

    def _as_float(self, name: str) -> str:
        return self._cast(name, f'{name}/float', self._onnx.TensorProto.FLOAT)

    def _cast(self, name: str, cast_name: str, kind: int) -> str:
        if cast_name not in self._made:
            self._made.add(cast_name)
            node = self._onnx.helper.make_node('Cast', [name], [cast_name], cast_name, to=kind)
            self._graph.node.append(node)
        return cast_name

    def _give_back(self, name: str) -> None:
        """Let an output of the model be float32 under its own name."""
        if name not in self._is_half:
            return
        half_name = f'{name}/half_output'
        for node in self._graph.node:
            for names in (node.input, node.output):
                for place, used in enumerate(names):
                    if used == name:
                        names[place] = half_name
        self._made.discard(name)
        self._cast(half_name, name, self._onnx.TensorProto.FLOAT)

    def _drop_unused(self) -> None:
        used = {name for node in self._graph.node for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)


def _before_quantizers(model: Any) -> set[str]:
    """Return the tensors that a quantized convolution still awaits.

    A cast between one and the next would keep TensorRT from computing both in int8.
    """
    waiting: set[str] = set()
    for node in reversed(model.graph.node):
        if node.op_type == 'QuantizeLinear' or waiting.intersection(node.output):
            waiting.update(node.input)
    return waiting


def _dequantized(model: Any) -> set[str]:
    """Return what only quantized convolutions take."""
    nodes = [node for node in model.graph.node if node.op_type == 'DequantizeLinear']
    return {name for node in nodes for name in node.output}


def _fits(tensor: Any) -> bool:
    """Whether the values of a constant, if it is one, are within the range of float16."""
    if tensor is None:
        return True
    values = onnx_library().numpy_helper.to_array(tensor)
    return bool(np.abs(values).max(initial=0) <= _LARGEST)
