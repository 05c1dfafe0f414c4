from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from surround_model import surround_inputs, surround_model, write_surround_model

from selfocc_core.backends import ModelOutputs
from selfocc_core.engine.activation_histogram import ActivationHistogram
from selfocc_core.engine.calibration import ActivationObserver
from selfocc_core.engine.half_precision import half_nodes, with_half_features
from selfocc_core.engine.image_path import image_path
from selfocc_core.engine.parity import judge
from selfocc_core.engine.precision import in_precision
from selfocc_core.engine.quantization import (
    quantized,
    quantized_tensors,
    weight_scales,
)
from selfocc_core.engine.scales import Scales
from selfocc_core.errors import SelfOccError
from selfocc_core.shipped_model import shipped_model

pytestmark = pytest.mark.deployment

HALF, FLOAT = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


def run(model):
    session = ort.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return ModelOutputs(*session.run(['sdf', 'depth'], vars(surround_inputs())))


def types(model):
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    found = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
    return found | {t.name: t.data_type for t in graph.initializer}


def test_the_path_of_the_images_ends_where_geometry_begins():
    names = [node.output[0] for node in image_path(surround_model())]
    assert names == [
        *('first', 'first_relu', 'second', 'features'),
        *('flat', 'tokens', 'projected', 'value'),
    ]


def test_features_become_half_and_geometry_stays_float():
    model = with_half_features(surround_model())
    onnx.checker.check_model(model, full_check=True)
    found = types(model)
    assert {found[name] for name in ('first', 'features', 'projected', 'value')} == {HALF}
    float_ones = ('normal', 'references', 'attended/float', 'decoded', 'depth_map', 'depth')
    assert {found[name] for name in float_ones} == {FLOAT}
    assert found['kernel_1/half'] == HALF
    assert 'kernel_1' not in found  # nobody takes it any more


def test_half_features_give_nearly_the_same():
    model = surround_model()
    verdict = judge(run(model), run(with_half_features(model)), 'fp16')
    assert verdict.accepted, verdict.refusal
    assert 0 < max(d.largest for d in verdict.differences) < 1e-2


def test_an_output_that_is_a_feature_is_given_as_float_under_its_name():
    model = surround_model()
    model.graph.output.append(onnx.helper.make_tensor_value_info('features', FLOAT, [2, 8, 4, 6]))
    converted = with_half_features(model)
    onnx.checker.check_model(converted, full_check=True)
    assert types(converted)['features'] == FLOAT
    assert judge(run(model), run(converted), 'fp16').accepted


def test_weights_beyond_the_range_of_half_stay_float():
    model = surround_model()
    (kernel,) = (t for t in model.graph.initializer if t.name == 'kernel_2')
    values = onnx.numpy_helper.to_array(kernel).copy()
    values[0, 0, 0, 0] = 1e5
    kernel.CopyFrom(onnx.numpy_helper.from_array(values, 'kernel_2'))
    assert 'second' not in {node.output[0] for node in half_nodes(model)}
    onnx.checker.check_model(with_half_features(model), full_check=True)


def test_of_the_shipped_model_backbone_and_fpn_become_half():
    model = onnx.load(str(shipped_model()))
    halved = [node.op_type for node in half_nodes(model)]
    backbone = [node for node in model.graph.node if node.op_type == 'Conv']
    assert 20 <= halved.count('Conv') <= len(backbone)
    assert not {'GridSample', 'LayerNormalization', 'Softmax', 'Exp', 'Div'}.intersection(halved)
    onnx.checker.check_model(with_half_features(model), full_check=True)


def observed(tmp_path):
    observer = ActivationObserver(write_surround_model(tmp_path / 'm.onnx'))
    for seed in range(3):
        observer.infer(surround_inputs(seed))
    return observer.scales()


def test_convolutions_are_quantized_within_tolerance(tmp_path):
    model, scales = surround_model(), observed(tmp_path)
    assert list(scales) == quantized_tensors(model) == ['planes', 'first_relu']
    int8 = quantized(model, scales)
    onnx.checker.check_model(int8, full_check=True)
    found = types(int8)
    assert found['planes/int8'] == found['kernel_1/int8'] == onnx.TensorProto.INT8
    verdict = judge(run(model), run(int8), 'int8')
    assert verdict.accepted, verdict.refusal
    assert max(d.largest for d in verdict.differences) > 1e-4  # it is not the float graph


def test_scales_that_are_too_small_are_seen(tmp_path):
    scales = {name: scale / 8 for name, scale in observed(tmp_path).items()}
    verdict = judge(run(surround_model()), run(quantized(surround_model(), scales)), 'int8')
    assert not verdict.accepted


def test_int8_has_half_values_but_no_cast_between_convolutions(tmp_path):
    scales = Scales(model='', drive='', frame_sets=1, of_tensors=observed(tmp_path))
    model = in_precision(surround_model(), 'int8', scales)
    onnx.checker.check_model(model, full_check=True)
    found = types(model)
    assert found['value'] == HALF
    assert found['first'] == found['first_relu'] == found['second'] == FLOAT
    assert judge(run(surround_model()), run(model), 'int8').accepted


def test_fp32_is_the_model_and_int8_needs_scales():
    model = surround_model()
    assert in_precision(model, 'fp32', None) is model
    with pytest.raises(SelfOccError, match='--bag'):
        in_precision(model, 'int8', None)
    with pytest.raises(SelfOccError, match='"first_relu": calibrate again'):
        quantized(model, {'planes': 0.1})


def test_weights_have_a_scale_for_each_channel():
    weights = np.zeros((3, 2, 1, 1), np.float32)
    weights[0], weights[1, 1] = 12.7, -1.27
    np.testing.assert_allclose(weight_scales(weights), [0.1, 0.01, 1 / 127], rtol=1e-6)


def test_a_scale_covers_even_values_and_clips_outliers():
    even = ActivationHistogram()
    even.add(np.linspace(0.0, 12.7, 1000))
    assert even.scale() == pytest.approx(0.1, rel=0.05)
    skewed = ActivationHistogram()
    skewed.add(np.random.default_rng(0).normal(size=100_000))
    skewed.add(np.array([50.0]))
    assert skewed.scale() < 0.7 * 50 / 127


def test_a_histogram_counts_values_as_it_widens():
    grown, whole = ActivationHistogram(), ActivationHistogram()
    values = np.random.default_rng(0).normal(size=20_000)
    for part in (np.sort(np.abs(values))[:10_000], np.sort(np.abs(values))[10_000:]):
        grown.add(part)
    whole.add(values)
    assert grown.scale() == pytest.approx(whole.scale(), rel=0.05)
    assert ActivationHistogram().scale() == 1.0


def test_scales_are_of_one_model(tmp_path):
    model = write_surround_model(tmp_path / 'm.onnx')
    with pytest.raises(SelfOccError, match=r'not calibrated for int8: run .*--bag'):
        Scales.load(tmp_path, model)
    observer = ActivationObserver(model)
    observer.infer(surround_inputs())
    scales = Scales(
        model=observer.card.onnx_sha256, drive='d', frame_sets=1, of_tensors=observer.scales()
    )
    scales.save(tmp_path, model)
    assert Scales.load(tmp_path, model) == scales
    path = Scales.path_for(tmp_path, model)
    path.write_text(path.read_text().replace(observer.card.onnx_sha256, 'another'))
    with pytest.raises(SelfOccError, match='of another model'):
        Scales.load(tmp_path, model)
    path.write_text('{}')
    with pytest.raises(SelfOccError, match='damaged'):
        Scales.load(tmp_path, model)


def test_scales_differ_in_their_digest():
    one = Scales(model='m', drive='d', frame_sets=1, of_tensors={'a': 1.0})
    assert one.digest == one.model_copy(update={'drive': 'other'}).digest
    assert one.digest != one.model_copy(update={'of_tensors': {'a': 2.0}}).digest
