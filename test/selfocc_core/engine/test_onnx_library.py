from __future__ import annotations

import numpy as np
import onnx
import pytest
from surround_model import surround_model

from selfocc_core.engine.onnx_library import load_model
from selfocc_core.errors import SelfOccError

pytestmark = pytest.mark.deployment


def external(name):
    tensor = onnx.numpy_helper.from_array(np.ones(2, np.float32), name)
    tensor.ClearField('raw_data')
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='elsewhere.bin')
    return tensor


def constant(name):
    return onnx.helper.make_node('Constant', [], [name], value=external(name))


def in_a_branch(model):
    shape = onnx.helper.make_tensor_value_info('chosen', onnx.TensorProto.FLOAT, [2])
    branch = onnx.helper.make_graph([constant('chosen')], 'branch', [], [shape])
    condition = onnx.helper.make_node(
        'Constant', [], ['condition'],
        value=onnx.numpy_helper.from_array(np.array(True), 'condition'),
    )  # fmt: skip
    chosen = onnx.helper.make_node(
        'If', ['condition'], ['unused'], then_branch=branch, else_branch=branch
    )
    model.graph.node.extend([condition, chosen])


@pytest.mark.parametrize(
    'hide',
    [
        lambda model: model.graph.initializer.append(external('unused')),
        lambda model: model.graph.node.append(constant('unused')),
        lambda model: model.functions[0].node.append(constant('unused')),
        in_a_branch,
    ],
    ids=['initializer', 'attribute', 'function', 'subgraph'],
)
def test_weights_in_other_files_are_found_wherever_they_are(tmp_path, hide):
    model, path = surround_model(), tmp_path / 'm.onnx'
    hide(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SelfOccError, match=r'keeps weights in other files.*export it as one file'):
        load_model(path)


def test_a_model_in_one_file_is_loaded(tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(surround_model().SerializeToString())
    assert load_model(path) == surround_model()


def test_a_graph_that_onnx_refuses_is_told(tmp_path):
    model, path = surround_model(), tmp_path / 'm.onnx'
    model.graph.node[0].input[0] = 'missing'
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SelfOccError, match='not a valid ONNX model: export it again'):
        load_model(path)
