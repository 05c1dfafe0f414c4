"""Runs the plugin against the bindings of TensorRT-RTX; started by test_plugin_contract.py."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import tensorrt_rtx as trt
from onnx import TensorProto, helper

from selfocc_core.plugin import plugin
from selfocc_core.plugin.operand_shapes import attended_shape, expected_shapes
from selfocc_core.plugin.registration import CreatorMethods, register_plugins
from selfocc_core.plugin.specialization import Specialization

LEVELS = ((4, 5), (2, 3))
CUBIN = bytes(range(256)) * 5
TYPES = {
    'MSDeformAttn': ('HALF', 'FLOAT', 'FLOAT', 'HALF'),
    'SurroundDeformAttn': ('HALF', 'FLOAT', 'INT32', 'FLOAT', 'FLOAT', 'HALF'),
}
ONNX_TYPES = {
    'HALF': TensorProto.FLOAT16, 'FLOAT': TensorProto.FLOAT, 'INT32': TensorProto.INT32,
}  # fmt: skip


def shapes_of(operator: str) -> list[tuple[int, ...]]:
    kernel = Specialization(operator, 'float16', LEVELS, 2, 7, 3, 16, 5)
    return [*expected_shapes(kernel), attended_shape(kernel)]


def tensor(shape: tuple[int, ...], kind: str) -> trt.DynamicPluginTensorDesc:
    dynamic, static = trt.DynamicPluginTensorDesc(), trt.PluginTensorDesc()
    static.dims, static.type = trt.Dims(shape), getattr(trt.DataType, kind)
    static.format = trt.TensorFormat.LINEAR
    dynamic.desc = static
    return dynamic


def report(operator: str) -> dict[str, object]:
    """Do all that needs neither a GPU nor a plugin layer."""
    plugin.compile_for_device = lambda kernel: CUBIN
    creator = trt.get_plugin_registry().get_creator(operator, '1', 'selfocc')
    shapes = np.array(LEVELS, np.int32).ravel()
    field = trt.PluginField('spatial_shapes', shapes, trt.PluginFieldType.INT32)
    fields = trt.PluginFieldCollection([field])
    made = creator.create_plugin('node', fields, trt.TensorRTPhase.BUILD)
    tensors = [tensor(*each) for each in zip(shapes_of(operator), TYPES[operator], strict=True)]
    inputs = tensors[:-1]
    supported = [
        made.supports_format_combination(position, tensors, len(inputs))
        for position in range(len(tensors))
    ]
    made.configure_plugin(inputs, tensors[-1:])
    stored = made.clone().get_fields_to_serialize()
    read = creator.create_plugin('node', stored, trt.TensorRTPhase.RUNTIME)
    types = [each.desc.type for each in inputs]
    return {
        'attributes': [each.name for each in creator.field_names],
        'types': supported,
        'result_type': made.get_output_data_types(types) == [trt.DataType.HALF],
        'fields': [each.name for each in stored],
        'round_trip': read.state == made.state and read.state.cubin == CUBIN,
        'clone': type(made.clone()) is type(made) and made.clone().state == made.state,
        'identity': [made.plugin_name, made.plugin_version, made.plugin_namespace,
                     made.num_outputs],
    }  # fmt: skip


def parse(operator: str) -> None:
    """Let the parser meet a node; what it creates is printed before it gives up."""
    names = [f'input_{index}' for index in range(len(TYPES[operator]) - 1)] + ['attended']
    infos = [
        helper.make_tensor_value_info(name, ONNX_TYPES[kind], shape)
        for name, kind, shape in zip(names, TYPES[operator], shapes_of(operator), strict=True)
    ]
    attributes = {'spatial_shapes': [4, 5, 2, 3], 'plugin_namespace': 'selfocc',
                  'plugin_version': '1'}  # fmt: skip
    node = helper.make_node(operator, names[:-1], names[-1:], domain='selfocc', **attributes)
    graph = helper.make_graph([node], 'one_node', infos[:-1], infos[-1:])
    opsets = [helper.make_opsetid('', 18), helper.make_opsetid('selfocc', 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    logger = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(logger).create_network(0)
    trt.OnnxParser(network, logger).parse(onnx.ModelProto.SerializeToString(model))


def announce() -> None:
    create = CreatorMethods.create_plugin

    def create_and_tell(self: CreatorMethods, name: str, fields: object, phase: object) -> object:
        made = create(self, name, fields, phase)
        print(f'created {made.operator} with levels {made.state.levels}', flush=True)
        return made

    CreatorMethods.create_plugin = create_and_tell


def main() -> None:
    operator = sys.argv[1]
    if sys.argv[2:] == ['parse']:
        announce()
    register_plugins(trt)
    if sys.argv[2:] == ['parse']:
        parse(operator)
    else:
        print(json.dumps(report(operator)))


if __name__ == '__main__':
    main()
