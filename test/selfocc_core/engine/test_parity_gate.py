from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from surround_model import surround_inputs, write_surround_model

from selfocc_core.backends import ModelOutputs
from selfocc_core.backends.onnxruntime import OnnxRuntimeBackend
from selfocc_core.engine import golden as golden_module
from selfocc_core.engine.golden import Golden, write_golden
from selfocc_core.engine.parity import TOLERANCES, judge
from selfocc_core.errors import SelfOccError

pytestmark = pytest.mark.deployment

SDF = np.linspace(-2.0, 2.0, 1000, dtype=np.float32).reshape(10, 10, 10)
DEPTH = np.linspace(1.0, 41.0, 1000, dtype=np.float32).reshape(2, 20, 25)
CLASSES = (np.arange(1000) % 5).astype(np.uint8).reshape(10, 10, 10)
EXPECTED = ModelOutputs(SDF, DEPTH, CLASSES)


def outputs(sdf=SDF, depth=DEPTH, semantics=CLASSES):
    return ModelOutputs(sdf, depth, semantics)


@pytest.mark.parametrize('precision', TOLERANCES)
def test_the_same_outputs_are_accepted(precision):
    verdict = judge(EXPECTED, outputs(), precision)
    assert verdict.accepted
    assert [d.name for d in verdict.differences] == ['sdf', 'depth', 'semantics']
    assert {d.largest for d in verdict.differences} == {0.0}


@given(st.sampled_from(sorted(TOLERANCES)), st.sampled_from([-1.0, 1.0]))
def test_an_offset_is_refused_beyond_the_tolerance(precision, sign):
    mean = TOLERANCES[precision].mean
    assert judge(EXPECTED, outputs(SDF + sign * 0.9 * mean * np.ptp(SDF)), precision).accepted
    verdict = judge(EXPECTED, outputs(SDF + sign * 1.2 * mean * np.ptp(SDF)), precision)
    assert verdict.refusal is not None
    assert 'sdf differs by' in verdict.refusal


def test_a_few_jumps_of_depth_are_borne_and_many_are_not():
    jumps = DEPTH.copy()
    jumps.ravel()[:2] = 41.0
    assert judge(EXPECTED, outputs(depth=jumps), 'int8').accepted
    jumps.ravel()[:30] = 41.0
    assert 'depth' in str(judge(EXPECTED, outputs(depth=jumps), 'int8').refusal)


def test_half_precision_may_be_further_off_than_single():
    off = SDF + np.float32(5e-4 * 4.0)
    assert not judge(EXPECTED, outputs(off), 'fp32').accepted
    assert judge(EXPECTED, outputs(off), 'fp16').accepted


def test_classes_are_counted_not_subtracted():
    few, many = CLASSES.copy(), CLASSES.copy()
    few.ravel()[:3] += 200
    many.ravel()[:100] += 1
    assert judge(EXPECTED, outputs(semantics=few), 'fp16').accepted
    assert 'semantics' in str(judge(EXPECTED, outputs(semantics=many), 'fp16').refusal)


@pytest.mark.parametrize(
    ('actual', 'reason'),
    [
        (outputs(np.full_like(SDF, np.nan)), 'values that are no numbers'),
        (outputs(np.where(SDF > 1.99, np.inf, SDF).astype(np.float32)), 'no numbers'),
        (outputs(SDF[:9]), r'its sdf is float32 \[9, 10, 10\], not float32 \[10, 10, 10\]'),
        (outputs(SDF.astype(np.float64)), 'its sdf is float64'),
        (outputs(semantics=None), 'it gives no semantics'),
    ],
)
def test_what_cannot_be_compared_is_refused(actual, reason):
    import re

    verdict = judge(EXPECTED, actual, 'int8')
    assert re.search(reason, str(verdict.refusal))


def test_constant_outputs_have_no_range_to_divide_by():
    flat = ModelOutputs(np.zeros_like(SDF), DEPTH)
    assert judge(flat, ModelOutputs(np.zeros_like(SDF), DEPTH), 'fp32').accepted
    assert not judge(flat, ModelOutputs(np.ones_like(SDF), DEPTH), 'fp32').accepted


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_golden_outputs_that_are_no_numbers_accept_nothing(value):
    spoilt = SDF.copy()
    spoilt[0, 0, 0] = value
    for precision in TOLERANCES:
        assert not judge(ModelOutputs(spoilt, DEPTH), outputs(semantics=None), precision).accepted


def test_a_range_beyond_single_precision_does_not_accept_everything():
    wide = SDF.copy()
    wide[0, 0, 0], wide[0, 0, 1] = -3e38, 3e38
    assert not judge(ModelOutputs(wide, DEPTH), ModelOutputs(-wide, DEPTH), 'fp32').accepted


@pytest.mark.parametrize('name', ['sdf', 'depth', 'image_from_ego'])
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_golden_file_of_what_is_no_number_is_refused(tmp_path, name, value):
    model = write_surround_model(tmp_path / 'm.onnx')
    path = Golden.path_for(model)
    arrays = arrays_of(path)
    arrays[name].ravel()[-1] = value
    np.savez(path, **arrays)
    with pytest.raises(SelfOccError, match=f'values of {name} that are no numbers.*export'):
        Golden.load_for(model)


def test_no_golden_file_is_written_of_what_is_no_number(tmp_path):
    model = write_surround_model(tmp_path / 'm.onnx')
    path = Golden.path_for(model)
    path.unlink()
    given = surround_inputs()
    given.image_from_ego[0, 0, 0] = np.nan
    with pytest.raises(SelfOccError, match=r'cannot be checked .* values that are no numbers'):
        write_golden(model, given)
    assert not path.exists()


def test_golden_outputs_are_what_the_cpu_computes(tmp_path):
    model = write_surround_model(tmp_path / 'm.onnx')
    golden = Golden.load_for(model)
    np.testing.assert_array_equal(golden.inputs.images, surround_inputs().images)
    computed = OnnxRuntimeBackend(model).infer(golden.inputs)
    np.testing.assert_array_equal(golden.outputs.sdf, computed.sdf)
    assert golden.outputs.semantics is None


def arrays_of(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.parametrize(
    'change',
    [
        {'sdf': None},
        {'depth': np.zeros((1, 2, 3), np.float32)},
        {'images': np.zeros((2, 8, 12, 3), np.float32)},
        {'camera_mask': np.array([None, {}], object)},
    ],
)
def test_a_golden_file_that_is_not_of_the_model_is_refused(tmp_path, change):
    model = write_surround_model(tmp_path / 'm.onnx')
    path = Golden.path_for(model)
    arrays = {k: v for k, v in (arrays_of(path) | change).items() if v is not None}
    np.savez(path, **arrays)
    with pytest.raises(SelfOccError, match=r'golden file .*export the model again'):
        Golden.load_for(model)


@pytest.mark.parametrize('damage', [b'', b'PK', b'no archive', None])
def test_a_damaged_golden_file_is_refused(tmp_path, damage):
    model = write_surround_model(tmp_path / 'm.onnx')
    path = Golden.path_for(model)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage is None else damage)
    with pytest.raises(SelfOccError, match='is damaged'):
        Golden.load_for(model)


def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    model = write_surround_model(tmp_path / 'm.onnx')
    header = io.BytesIO()
    description = {'descr': '<f4', 'fortran_order': False, 'shape': (2**40,)}
    np.lib.format.write_array_header_1_0(header, description)
    with zipfile.ZipFile(Golden.path_for(model), 'w') as archive:
        archive.writestr('images.npy', header.getvalue())
    with pytest.raises(SelfOccError, match='cut off'):
        Golden.load_for(model)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    model = write_surround_model(tmp_path / 'm.onnx')
    monkeypatch.setattr(golden_module, 'MAX_BYTES', 1000)
    with pytest.raises(SelfOccError, match='unpacks to more than'):
        Golden.load_for(model)
