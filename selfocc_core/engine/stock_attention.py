"""NVIDIA's ``MultiscaleDeformableAttnPlugin_TRT`` in the place of our deformable attention.

It is part of TensorRT, so that it needs no compiler on the vehicle. It takes one type for all
inputs and accumulates in it: float32 here, as float16 locations are 40 times less accurate. Shapes
of the levels are int32 tensors, and heads and channels of its output are apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.engine.onnx_library import onnx_library
from selfocc_core.engine.tensor_types import float_type_of

STOCK = 'MultiscaleDeformableAttnPlugin_TRT'
STOCK_DOMAIN = 'trt.plugins'


def replace_by_stock(
    model: Any, domain: str, operator: str, version: str, types: dict[str, int]
) -> None:
    """Replace every node of deformable attention in the graph, in place.

    Args:
        model: The ``ModelProto``.
        domain: Domain of the operator.
        operator: Its name: ``(value [B, T, M, C], locations, weights) -> [B, Q, M * C]`` with the
            attribute ``spatial_shapes``.
        version: Version of NVIDIA's plugin to ask for.
        types: Element types of its inputs, by name.

    Raises:
        SelfOccError: The type of an input is not known.
    """
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if (node.domain, node.op_type) == (domain, operator):
            _Replacement(model, node, version, types).append()
        else:
            model.graph.node.append(node)
    if STOCK_DOMAIN not in {opset.domain for opset in model.opset_import}:
        model.opset_import.append(onnx_library().helper.make_opsetid(STOCK_DOMAIN, 1))


class _Replacement:
    """The nodes that stand for one node of deformable attention."""

    def __init__(self, model: Any, node: Any, version: str, types: dict[str, int]) -> None:
        self._onnx, self._graph = onnx_library(), model.graph
        self._node, self._version, self._types = node, version, types
        self._prefix = f'{node.output[0]}/stock'

    def append(self) -> None:
        """Append the nodes to the graph."""
        shapes = _spatial_shapes(self._node)
        value, locations, weights = (self._as_float32(name) for name in self._node.input)
        attended = self._add(
            STOCK,
            [
                value,
                self._constant('shapes', shapes.astype(np.int32)),
                self._constant('starts', level_starts(shapes)),
                locations,
                weights,
            ],
            'attended',
            domain=STOCK_DOMAIN,
            plugin_version=self._version,
            plugin_namespace='',
        )
        self._restore(attended)

    def _restore(self, attended: str) -> None:
        """Join heads and channels, and give the output the type that it had."""
        onnx, output = self._onnx, self._node.output[0]
        shape = self._constant('joined', np.array([0, 0, -1], np.int64))
        of_value = float_type_of(self._types, self._node.input[0])
        if of_value == onnx.TensorProto.FLOAT:
            self._add('Reshape', [attended, shape], output, named=output)
            return
        joined = self._add('Reshape', [attended, shape], 'reshaped')
        self._add('Cast', [joined], output, named=output, to=of_value)

    def _as_float32(self, name: str) -> str:
        float32: int = self._onnx.TensorProto.FLOAT
        if float_type_of(self._types, name) == float32:
            return name
        return self._add('Cast', [name], f'{name}_float32', to=float32)

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        full_name = f'{self._prefix}/{name}'
        tensor = self._onnx.numpy_helper.from_array(values, full_name)
        self._graph.initializer.append(tensor)
        return full_name

    def _add(
        self, operator: str, inputs: list[str], name: str, named: str = '', **attributes: Any
    ) -> str:
        output = named or f'{self._prefix}/{name}'
        node = self._onnx.helper.make_node(
            operator, inputs, [output], name=f'{self._prefix}/{operator}/{name}', **attributes
        )
        self._graph.node.append(node)
        return output


def level_starts(shapes: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the first token of each level ``[L]`` of levels of height and width ``[L, 2]``."""
    counts = shapes.prod(1)
    return np.asarray(np.cumsum(counts) - counts, np.int32)


def _spatial_shapes(node: Any) -> NDArray[np.int64]:
    (attribute,) = (a for a in node.attribute if a.name == 'spatial_shapes')
    return np.array(attribute.ints, np.int64).reshape(-1, 2)
