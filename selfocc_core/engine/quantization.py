"""Convolutions of backbone and FPN in int8, written into the graph as Q/DQ pairs.

Activations have one scale per tensor, from calibration; weights one per output channel, from their
largest value. TensorRT computes a convolution between such pairs in int8; ONNX Runtime does the
same arithmetic, so that accuracy can be measured without a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.engine.image_path import image_path
from selfocc_core.engine.onnx_library import onnx_library
from selfocc_core.errors import SelfOccError

_DATA, _WEIGHT = 0, 1
INT8_MAX = 127


def convolutions(model: Any) -> list[Any]:
    """Return the convolutions of backbone and FPN, in order."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [n for n in image_path(model) if n.op_type == 'Conv' and n.input[_WEIGHT] in constants]


def quantized_tensors(model: Any) -> list[str]:
    """Return the activations that need a scale: what the convolutions take."""
    return list(dict.fromkeys(node.input[_DATA] for node in convolutions(model)))


def quantized(model: Any, scales: Mapping[str, float]) -> Any:
    """Return a model whose convolutions of backbone and FPN are quantized.

    Args:
        model: The float32 ``ModelProto``.
        scales: Value of one step of int8 for each of :func:`quantized_tensors`.

    Raises:
        SelfOccError: A scale is missing: the model was calibrated when it was another one.
    """
    copied = onnx_library().ModelProto()
    copied.CopyFrom(model)
    missing = [name for name in quantized_tensors(copied) if name not in scales]
    if missing:
        raise SelfOccError(
            f'there is no scale for tensor "{missing[0]}": calibrate again with "selfocc '
            'build-engine --precision int8 --bag DRIVE"'
        )
    _Insertion(copied, scales).run()
    return copied


def weight_scales(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the value of one step for each output channel of weights ``[O, I, kh, kw]``."""
    largest = np.abs(weights).reshape(len(weights), -1).max(1)
    return np.asarray(np.where(largest > 0, largest, 1.0) / INT8_MAX, np.float32)


class _Insertion:
    """Rebuilds the nodes of a graph with Q/DQ pairs before convolutions."""

    def __init__(self, model: Any, scales: Mapping[str, float]) -> None:
        self._onnx, self._graph, self._scales = onnx_library(), model.graph, scales
        self._quantized = {node.output[0] for node in convolutions(model)}
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._pairs: set[str] = set()

    def run(self) -> None:
        nodes = list(self._graph.node)
        del self._graph.node[:]
        for node in nodes:
            if node.output[0] in self._quantized:
                data, weight = node.input[_DATA], node.input[_WEIGHT]
                scale = np.array(self._scales[data], np.float32)
                node.input[_DATA] = self._pair(data, scale, axis=None)
                values = self._onnx.numpy_helper.to_array(self._weights[weight])
                node.input[_WEIGHT] = self._pair(weight, weight_scales(values), axis=0)
            self._graph.node.append(node)

    def _pair(self, name: str, scale: NDArray[np.float32], axis: int | None) -> str:
        """Quantize and dequantize a tensor, once for all that take it; return the result."""
        result = f'{name}/dequantized'
        if name in self._pairs:
            return result
        self._pairs.add(name)
        constants = [
            self._constant(f'{name}/scale', scale),
            self._constant(f'{name}/zero_point', np.zeros(scale.shape, np.int8)),
        ]
        attributes = {} if axis is None else {'axis': axis}
        steps = (
            ('QuantizeLinear', name, f'{name}/int8'),
            ('DequantizeLinear', f'{name}/int8', result),
        )
        for operator, source, target in steps:
            node = self._onnx.helper.make_node(
                operator, [source, *constants], [target], name=target, **attributes
            )
            self._graph.node.append(node)
        return result

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(values, name))
        return name
