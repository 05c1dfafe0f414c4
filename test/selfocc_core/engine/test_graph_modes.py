from __future__ import annotations

import numpy as np
import onnx
import onnx.inliner
import onnx.parser
import onnxruntime as ort
import pytest
from surround_model import SEEN, for_one_rig, surround_inputs, surround_model

from selfocc_core.engine.graph_modes import MODES, rewrite
from selfocc_core.engine.half_precision import with_half_features
from selfocc_core.engine.stock_attention import level_starts
from selfocc_core.errors import SelfOccError
from selfocc_core.onnx_operators import overload_of, surround_function
from selfocc_core.shipped_model import shipped_model

pytestmark = pytest.mark.deployment


def run(model):
    session = ort.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    given = vars(surround_inputs())
    feeds = {value.name: given[value.name] for value in session.get_inputs()}
    return session.run(['sdf', 'depth'], feeds)


def nodes(model, operator):
    return [node for node in model.graph.node if node.op_type == operator]


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def initializers(model):
    return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}


def test_modes_are_tried_best_first():
    assert MODES == ('fused plugin', 'plugin', 'stock', 'native')


@pytest.mark.parametrize(
    ('mode', 'operator'), [('fused plugin', 'SurroundDeformAttn'), ('plugin', 'MSDeformAttn')]
)
def test_a_plugin_node_has_no_body_and_names_its_plugin(mode, operator):
    rewritten = rewrite(surround_model(), mode)
    onnx.checker.check_model(rewritten)
    found = [node for node in rewritten.graph.node if node.domain]
    assert [node.op_type for node in found] == [operator] * 2
    assert not rewritten.functions
    for node in found:
        assert not node.overload
        assert attributes(node) == {
            'spatial_shapes': [4, 6],
            'plugin_version': b'1',
            'plugin_namespace': b'selfocc',
        }


def test_the_fused_plugin_takes_no_bool():
    """TensorRT documents bool as not supported by plugins."""
    rewritten = rewrite(surround_model(), 'fused plugin')
    types = {node.output[0]: attributes(node).get('to') for node in nodes(rewritten, 'Cast')}
    visible = {node.input[2] for node in nodes(rewritten, 'SurroundDeformAttn')}
    assert [types[name] for name in visible] == [onnx.TensorProto.INT32]
    (cast,) = (node for node in nodes(rewritten, 'Cast') if node.output[0] in visible)
    assert cast.input[0] == nodes(surround_model(), 'SurroundDeformAttn')[0].input[2]
    for mode in ('plugin', 'stock', 'native'):
        assert not visible & {n.output[0] for n in nodes(rewrite(surround_model(), mode), 'Cast')}


def test_the_fused_graph_with_casts_keeps_the_numbers():
    rewritten = rewrite(surround_model(), 'fused plugin')
    for node in nodes(rewritten, 'SurroundDeformAttn'):
        kept = [a for a in node.attribute if a.name == 'spatial_shapes']
        del node.attribute[:]
        node.attribute.extend(kept)
    rewritten.functions.extend(surround_model().functions)
    for expected, actual in zip(run(surround_model()), run(rewritten), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_the_plugin_mode_keeps_the_numbers():
    rewritten = rewrite(surround_model(), 'plugin')
    body = next(f for f in surround_model().functions if f.name == 'MSDeformAttn')
    rewritten.functions.append(body)
    for node in nodes(rewritten, 'MSDeformAttn'):
        kept = [a for a in node.attribute if a.name == 'spatial_shapes']
        del node.attribute[:]
        node.attribute.extend(kept)
    for expected, actual in zip(run(surround_model()), run(rewritten), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_the_stock_node_gets_what_nvidia_asks_for():
    rewritten = rewrite(surround_model(), 'stock', stock_version='2')
    onnx.checker.check_model(rewritten)
    node, _ = nodes(rewritten, 'MultiscaleDeformableAttnPlugin_TRT')
    assert attributes(node) == {'plugin_version': b'2', 'plugin_namespace': b''}
    _, shapes, starts, _, _ = node.input
    constants = initializers(rewritten)
    assert constants[shapes].dtype == constants[starts].dtype == np.int32
    np.testing.assert_array_equal(constants[shapes], [[4, 6]])
    np.testing.assert_array_equal(constants[starts], [0])
    (reshape,) = (n for n in nodes(rewritten, 'Reshape') if n.input[0] == node.output[0])
    np.testing.assert_array_equal(constants[reshape.input[1]], [0, 0, -1])
    assert not rewritten.functions


def test_levels_start_one_after_the_other():
    starts = level_starts(np.array([[4, 6], [2, 3], [1, 2]]))
    np.testing.assert_array_equal(starts, [0, 24, 30])


def test_the_stock_node_of_half_values_computes_in_float():
    rewritten = rewrite(with_half_features(surround_model()), 'stock')
    node, _ = nodes(rewritten, 'MultiscaleDeformableAttnPlugin_TRT')
    casts = {n.output[0]: attributes(n)['to'] for n in nodes(rewritten, 'Cast')}
    assert casts[node.input[0]] == onnx.TensorProto.FLOAT
    made = {name: n for n in rewritten.graph.node for name in n.output}
    (joined,) = (n for n in nodes(rewritten, 'Reshape') if n.input[0] == node.output[0])
    (back,) = (n for n in nodes(rewritten, 'Cast') if n.input[0] == joined.output[0])
    assert attributes(back)['to'] == onnx.TensorProto.FLOAT16
    assert made[back.output[0]] is not None


def test_the_native_graph_is_of_standard_operators_and_gives_the_same_numbers():
    model = surround_model()
    rewritten = rewrite(model, 'native')
    onnx.checker.check_model(rewritten, full_check=True)
    assert not rewritten.functions
    assert {node.domain for node in rewritten.graph.node} == {''}
    assert not nodes(rewritten, 'GridSample')  # some versions of TensorRT get it wrong
    assert not nodes(rewritten, 'NonZero')  # shapes must not depend on the images
    for expected, actual in zip(run(model), run(rewritten), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_the_native_graph_of_an_exported_body_gives_the_same_numbers():
    model = surround_model()
    del model.functions[:]
    model.functions.append(surround_function(1))
    model.ir_version = 10
    for node in nodes(model, 'SurroundDeformAttn'):
        node.overload = overload_of(1)
    onnx.checker.check_model(model, full_check=True)
    for expected, actual in zip(run(model), run(rewrite(model, 'native')), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def rows_attended(native):
    """Return how many pairs of camera and query each attention reads values for."""
    inferred = onnx.shape_inference.infer_shapes(native, data_prop=True)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
              for v in inferred.graph.value_info}  # fmt: skip
    return {shapes[node.output[0]][0] for node in nodes(native, 'Floor')}


@pytest.mark.parametrize('visible', [SEEN, SEEN[::-1].copy()])
def test_the_native_graph_for_one_rig_attends_to_visible_pairs_alone(visible):
    model = for_one_rig(visible)
    rewritten = rewrite(model, 'native')
    onnx.checker.check_model(rewritten, full_check=True)
    assert {node.domain for node in rewritten.graph.node} == {''}
    assert not nodes(rewritten, 'NonZero')
    assert rows_attended(rewritten) == {visible.sum()}
    for expected, actual in zip(run(model), run(rewritten), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize('visible', [np.ones((2, 6), bool), np.zeros((2, 6), bool)])
def test_where_all_pairs_or_none_are_visible_nothing_is_left_out(visible):
    model = for_one_rig(visible)
    rewritten = rewrite(model, 'native')
    assert rows_attended(rewritten) == {visible.size}
    for expected, actual in zip(run(model), run(rewritten), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_plugins_are_given_visibility_as_it_is():
    for mode in ('fused plugin', 'plugin', 'stock'):
        general, rig = rewrite(surround_model(), mode), rewrite(for_one_rig(SEEN), mode)
        operators = [[n.op_type for n in m.graph.node if n.domain] for m in (general, rig)]
        assert operators[0] == operators[1]
        assert not [t for t in rig.graph.initializer if 'pairs' in t.name]


def two_levels(weights='float16'):
    """One node of attention over two levels, without a body."""
    text = f"""
    <ir_version: 9, opset_import: ["": 18, "selfocc": 1]>
    attention (float16[2, 30, 2, 4] value, float[2, 5, 2, 2, 3, 2] locations,
        {weights}[2, 5, 2, 2, 3] weights) => (float16[2, 5, 8] attended)
    {{ attended = selfocc.MSDeformAttn <spatial_shapes = [4, 6, 2, 3]>
        (value, locations, weights) }}
    """
    return onnx.parser.parse_model(text)


def test_levels_of_different_size_reach_the_stock_node():
    rewritten = rewrite(two_levels(), 'stock')
    onnx.checker.check_model(rewritten)
    (node,) = nodes(rewritten, 'MultiscaleDeformableAttnPlugin_TRT')
    constants = initializers(rewritten)
    np.testing.assert_array_equal(constants[node.input[1]], [[4, 6], [2, 3]])
    np.testing.assert_array_equal(constants[node.input[2]], [0, 24])
    casts = {n.input[0]: n.output[0] for n in nodes(rewritten, 'Cast')}
    assert node.input[3] == 'locations'  # float32 already
    assert (node.input[0], node.input[4]) == (casts['value'], casts['weights'])
    assert rewritten.graph.node[-1].output[0] == 'attended'


def test_a_native_graph_of_two_levels_runs():
    rewritten = rewrite(two_levels('float'), 'native')
    onnx.checker.check_model(rewritten, full_check=True)
    session = ort.InferenceSession(
        rewritten.SerializeToString(), providers=['CPUExecutionProvider']
    )
    inputs = {
        'value': np.ones((2, 30, 2, 4), np.float16),
        'locations': np.full((2, 5, 2, 2, 3, 2), 0.5, np.float32),
        'weights': np.full((2, 5, 2, 2, 3), 1 / 6, np.float32),
    }
    (attended,) = session.run(None, inputs)
    np.testing.assert_allclose(attended, 1.0, rtol=2e-3)


def test_rewriting_leaves_the_model_as_it_was():
    model = surround_model()
    before = model.SerializeToString()
    for mode in MODES:
        rewrite(model, mode)
    assert model.SerializeToString() == before


def without_fused(model):
    """The model with its fused operator expanded, as other exporters might write it."""
    return onnx.inliner.inline_selected_functions(model, [('selfocc', 'SurroundDeformAttn')])


def test_a_mode_that_a_model_has_no_node_for_is_refused():
    with pytest.raises(SelfOccError, match='no SurroundDeformAttn node'):
        rewrite(without_fused(surround_model()), 'fused plugin')
    for mode in ('plugin', 'stock', 'native'):
        rewrite(without_fused(surround_model()), mode)
    native = rewrite(surround_model(), 'native')
    for mode in ('plugin', 'stock'):
        with pytest.raises(SelfOccError, match='no MSDeformAttn node'):
            rewrite(native, mode)


def test_an_operator_of_ours_that_this_version_does_not_know_is_refused():
    model = surround_model()
    model.graph.node[-1].op_type, model.graph.node[-1].domain = 'Newer', 'selfocc'
    for mode in MODES:
        with pytest.raises(SelfOccError, match='node Newer that this version does not know'):
            rewrite(model, mode)


def test_the_shipped_model_has_a_native_graph():
    rewritten = rewrite(onnx.load(str(shipped_model())), 'native')
    onnx.checker.check_model(rewritten, full_check=True)
    assert [n.op_type for n in rewritten.graph.node if 'images' in n.input] == ['Cast']
