"""What TensorRT asks of a plugin, with a fake module and with the bindings of TensorRT-RTX."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_registry import REFUSED, Bindings, Expressions, Field, HostDriver, Tensor, fake_tensorrt
from kernel_on_host import PADDING_BYTES, padded, run_on_host

from selfocc_core.errors import SelfOccError
from selfocc_core.plugin import launcher, plugin
from selfocc_core.plugin.last_error import take_last_error
from selfocc_core.plugin.operand_shapes import (
    attended_shape,
    expected_shapes,
    specialization_of,
)
from selfocc_core.plugin.registration import register_plugins
from selfocc_core.plugin.specialization import Specialization, levels_from

pytestmark = pytest.mark.deployment

LEVELS = ((4, 5), (2, 3))
SPATIAL_SHAPES = np.array([4, 5, 2, 3], np.int32)
KERNELS = {
    'MSDeformAttn': Specialization('MSDeformAttn', 'float16', LEVELS, 2, 7, 3, 8, 5),
    'SurroundDeformAttn': Specialization(
        'SurroundDeformAttn', 'float16', LEVELS, 2, 7, 3, 8, 5, references=2
    ),
}
TYPES = {
    'MSDeformAttn': ('half', 'float', 'float', 'half'),
    'SurroundDeformAttn': ('half', 'float', 'int', 'float', 'float', 'half'),
}
NUMPY = {'half': np.float16, 'float': np.float32, 'int': np.int32}


@pytest.fixture
def trt():
    module = fake_tensorrt()
    register_plugins(module)
    return module


@pytest.fixture
def driver(monkeypatch):
    """Let this processor play the GPU, and no compiler run."""
    found = HostDriver()
    launcher.load_kernel.cache_clear()
    monkeypatch.setattr(launcher, '_device', lambda: found)
    monkeypatch.setattr(plugin, 'compile_for_device', lambda kernel: kernel.to_json().encode())
    yield found
    launcher.load_kernel.cache_clear()


def creator(trt, operator):
    return trt.get_plugin_registry().creators[operator, '1', 'selfocc']


def new_plugin(trt, operator, shapes=SPATIAL_SHAPES):
    return creator(trt, operator).create_plugin('node', [Field('spatial_shapes', shapes, '')], '')


def tensors(operator: str) -> list[Tensor]:
    """Return descriptions of all inputs and the result."""
    kernel = KERNELS[operator]
    shapes = [*expected_shapes(kernel), attended_shape(kernel)]
    return [Tensor(shape, kind) for shape, kind in zip(shapes, TYPES[operator], strict=True)]


def inputs_of(operator: str) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [
        rng.uniform(0, 1, tensor.dims).round(0 if tensor.type == 'int' else 6)
        .astype(NUMPY[tensor.type])
        for tensor in tensors(operator)[:-1]
    ]  # fmt: skip


operators = pytest.mark.parametrize('operator', KERNELS)


def test_registering_twice_changes_nothing(trt):
    before = dict(trt.get_plugin_registry().creators)
    register_plugins(trt)
    assert trt.get_plugin_registry().creators == before
    assert set(before) == {(name, '1', 'selfocc') for name in KERNELS}


def test_a_foreign_plugin_of_that_name_is_noticed():
    module = fake_tensorrt()
    module.get_plugin_registry().creators['MSDeformAttn', '1', 'selfocc'] = object()
    with pytest.raises(SelfOccError, match='refuses the plugin MSDeformAttn'):
        register_plugins(module)


def test_an_old_tensorrt_is_refused():
    with pytest.raises(SelfOccError, match=r'install 10\.3'):
        register_plugins(type(sys)('tensorrt'))


@operators
def test_types_and_layouts(trt, operator):
    made, right = new_plugin(trt, operator), tensors(operator)
    count = len(right) - 1
    for position in range(len(right)):
        assert made.supports_format_combination(position, right, count)
        for wrong in (
            replace(right[position], format='chw4'),
            replace(right[position], type='bool'),  # TensorRT documents it as not supported
            replace(right[position], type='float' if right[position].type == 'int' else 'int'),
        ):
            changed = [*right[:position], wrong, *right[position + 1 :]]
            assert not made.supports_format_combination(position, changed, count)


def test_weights_are_float32_or_as_the_values(trt):
    made, single = new_plugin(trt, 'MSDeformAttn'), tensors('MSDeformAttn')
    half = [*single[:2], replace(single[2], type='half'), single[3]]
    assert made.supports_format_combination(2, half, 3)
    full = [replace(tensor, type='float') for tensor in single]
    assert all(made.supports_format_combination(i, full, 3) for i in range(4))
    full[2].type = 'half'
    assert not made.supports_format_combination(2, full, 3)


def test_the_fused_result_has_the_type_of_the_values(trt):
    made, right = new_plugin(trt, 'SurroundDeformAttn'), tensors('SurroundDeformAttn')
    right[5].type = 'float'
    assert not made.supports_format_combination(5, right, 5)


@operators
def test_result_shape_and_type(trt, operator):
    made, given = new_plugin(trt, operator), tensors(operator)
    shapes = [tensor.dims for tensor in given[:-1]]
    assert made.get_output_shapes(shapes, [], Expressions()) == [list(given[-1].dims)]
    assert made.get_output_data_types([tensor.type for tensor in given[:-1]]) == ['half']
    assert made.num_outputs == 1
    assert made.get_workspace_size(given[:-1], given[-1:]) == 0
    assert made.get_capability_interface('build') is made


@operators
def test_runs_from_the_node_to_the_engine_and_out_of_it(trt, driver, operator):
    """Build, store, read the stored fields, attach, and launch: as an engine's life goes."""
    given = tensors(operator)
    fields = Bindings(new_plugin(trt, operator)).build(given[:-1], given[-1:])
    assert fields is not REFUSED
    stored = Bindings(creator(trt, operator).create_plugin('node', fields, ''))
    running = stored.prepare(given[:-1], given[-1:])
    assert running is not REFUSED
    arrays = inputs_of(operator)
    buffers = [padded(array) for array in [*arrays, np.zeros(given[-1].dims, np.float16)]]
    pointers = [buffer.ctypes.data + PADDING_BYTES for buffer in buffers]
    assert running.enqueue(given[:-1], given[-1:], pointers, 7)
    assert len(driver.modules) == 1
    found = buffers[-1][PADDING_BYTES:-PADDING_BYTES].view(np.float16).reshape(given[-1].dims)
    np.testing.assert_array_equal(found, run_on_host(KERNELS[operator], *arrays))
    assert np.abs(found).max() > 0.01


@operators
def test_the_fields_hold_kernel_and_machine_code(trt, driver, operator):
    given = tensors(operator)
    made = new_plugin(trt, operator)
    made.configure_plugin(given[:-1], given[-1:])
    fields = {field.name: field.data for field in made.get_fields_to_serialize()}
    assert fields['spatial_shapes'].tolist() == [4, 5, 2, 3]
    text = fields['specialization'].tobytes().decode()
    assert Specialization.from_json(text) == KERNELS[operator]
    assert fields['cubin'].tobytes() == made.state.cubin


def test_all_contexts_share_one_module(trt, driver):
    given = tensors('SurroundDeformAttn')
    made = new_plugin(trt, 'SurroundDeformAttn')
    made.configure_plugin(given[:-1], given[-1:])
    assert made.attach_to_context(None) is not made.attach_to_context(None)
    assert len(driver.modules) == 1


def test_other_inputs_make_another_kernel(trt, driver):
    given = tensors('MSDeformAttn')
    made = new_plugin(trt, 'MSDeformAttn')
    made.configure_plugin(given[:-1], given[-1:])
    single = [replace(tensor, type='float') for tensor in given]
    made.on_shape_change(single[:-1], single[-1:])
    assert made.state.kernel == replace(KERNELS['MSDeformAttn'], precision='float32')


def test_without_a_gpu_it_says_so(trt, monkeypatch):
    launcher._device.cache_clear()
    monkeypatch.setitem(sys.modules, 'pycuda.driver', None)
    monkeypatch.setitem(sys.modules, 'cuda.bindings.driver', None)
    given = tensors('MSDeformAttn')
    with pytest.raises(SelfOccError, match='no CUDA device'):
        new_plugin(trt, 'MSDeformAttn').configure_plugin(given[:-1], given[-1:])


def refusals():
    """What goes wrong in each method that TensorRT calls while it builds or runs."""

    def no_compiler(*_):
        raise SelfOccError('no CUDA compiler')

    return {
        'configure_plugin': ('compile_for_device', no_compiler),
        'on_shape_change': ('compile_for_device', no_compiler),
        'attach_to_context': ('load_kernel', no_compiler),
        'enqueue': ('load_kernel', lambda *_: SimpleNamespace(launch=no_compiler)),
    }


@pytest.mark.parametrize('method', refusals())
def test_what_the_bindings_swallow_is_kept(trt, driver, monkeypatch, method):
    given = tensors('MSDeformAttn')
    made = new_plugin(trt, 'MSDeformAttn')
    if method in {'attach_to_context', 'enqueue'}:
        made.configure_plugin(given[:-1], given[-1:])
    name, refuse = refusals()[method]
    monkeypatch.setattr(plugin, name, refuse)
    if method == 'enqueue':
        made = made.attach_to_context(None)
    arguments = {
        'attach_to_context': [None],
        'enqueue': [given[:-1], given[-1:], [0] * 3, [0], 0, 7],
    }.get(method, [given[:-1], given[-1:]])
    take_last_error()
    assert Bindings(made).call(method, *arguments) is REFUSED
    assert take_last_error() == 'no CUDA compiler'
    assert take_last_error() is None


def test_why_a_plugin_cannot_be_made_or_stored_is_kept(trt):
    take_last_error()
    assert Bindings(creator(trt, 'MSDeformAttn')).call('create_plugin', 'node', [], '') is REFUSED
    assert 'spatial_shapes' in str(take_last_error())
    assert Bindings(new_plugin(trt, 'MSDeformAttn')).call('get_fields_to_serialize') is REFUSED
    assert 'build the engine again' in str(take_last_error())


def test_a_run_without_shapes_is_refused(trt):
    with pytest.raises(SelfOccError, match='before its shapes were set'):
        new_plugin(trt, 'MSDeformAttn').enqueue([], [], [], [], 0, 0)


def test_a_plugin_without_kernel_is_not_stored(trt):
    with pytest.raises(SelfOccError, match='build the engine again'):
        new_plugin(trt, 'MSDeformAttn').get_fields_to_serialize()


def test_dynamic_shapes_are_refused(trt, driver):
    given = tensors('MSDeformAttn')
    given[1].dims = (2, -1, *given[1].dims[2:])
    with pytest.raises(SelfOccError, match='static shapes'):
        new_plugin(trt, 'MSDeformAttn').configure_plugin(given[:-1], given[-1:])


@pytest.mark.parametrize('shapes', [[], [4], [4, 5, 2]])
def test_odd_spatial_shapes_are_refused(trt, shapes):
    with pytest.raises(SelfOccError, match='pairs of height and width'):
        new_plugin(trt, 'MSDeformAttn', np.array(shapes, np.int32))


def test_missing_spatial_shapes_are_refused(trt):
    with pytest.raises(SelfOccError, match=r'spatial_shapes .* is missing'):
        creator(trt, 'MSDeformAttn').create_plugin('node', [], '')


@operators
def test_inputs_that_do_not_fit_are_refused(operator):
    right = expected_shapes(KERNELS[operator])
    types = [NUMPY[kind].__name__ for kind in TYPES[operator]]
    for position, (images, second, *rest) in enumerate(right):
        wrong = [*right[:position], (images, second + 1, *rest), *right[position + 1 :]]
        with pytest.raises(SelfOccError, match='would fit each other'):
            specialization_of(operator, LEVELS, wrong, types)


def test_other_types_and_ranks_are_refused():
    shapes = expected_shapes(KERNELS['MSDeformAttn'])
    with pytest.raises(SelfOccError, match='value of float16 or float32, not of int8'):
        specialization_of('MSDeformAttn', LEVELS, shapes, ['int8', 'float32', 'float32'])
    shapes_of_fused = expected_shapes(KERNELS['SurroundDeformAttn'])
    types = ['float16', 'float32', 'bool', 'float32', 'float32']
    with pytest.raises(SelfOccError, match=r"'int32', .* not of .*'bool'.*build the engine again"):
        specialization_of('SurroundDeformAttn', LEVELS, shapes_of_fused, types)
    with pytest.raises(SelfOccError, match='takes 3 inputs'):
        specialization_of('MSDeformAttn', LEVELS, shapes[:2], ['float32'] * 3)


def test_reference_points_of_some_levels_are_refused():
    with pytest.raises(SelfOccError, match='of 1 or of all 2 levels, not of 3'):
        replace(KERNELS['SurroundDeformAttn'], references=3)


def test_more_work_than_an_index_counts_is_refused():
    with pytest.raises(SelfOccError, match=r'2\^31'):
        Specialization('MSDeformAttn', 'float32', ((2**12, 2**12),), 1, 1, 8, 16, 1)
    with pytest.raises(SelfOccError, match='at least 1'):
        Specialization('MSDeformAttn', 'float32', ((0, 4),), 1, 1, 8, 16, 1)


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"levels": [[1]]}', '{"levels": [[1, 2]]}'])
def test_an_engine_of_another_version_is_refused(text):
    with pytest.raises(SelfOccError, match='build it again'):
        Specialization.from_json(text)


def test_levels_are_pairs_of_plain_integers():
    assert levels_from(SPATIAL_SHAPES.tolist()) == LEVELS


@pytest.mark.skipif(
    importlib.util.find_spec('tensorrt_rtx') is None, reason='tensorrt-rtx-cu13 is not installed'
)
@pytest.mark.parametrize('operator', KERNELS)
def test_tensorrt_rtx_accepts_creator_and_plugin(operator):
    """In a process of its own, which TensorRT-RTX may abort."""
    script = Path(__file__).with_name('plugin_in_rtx.py')
    done = subprocess.run(
        [sys.executable, str(script), operator], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {
        'attributes': ['spatial_shapes'],
        'types': [True] * len(TYPES[operator]),
        'result_type': True,
        'fields': ['spatial_shapes', 'specialization', 'cubin'],
        'round_trip': True,
        'clone': True,
        'identity': [operator, '1', 'selfocc', 1],
    }


@pytest.mark.skipif(
    importlib.util.find_spec('tensorrt_rtx') is None, reason='tensorrt-rtx-cu13 is not installed'
)
@pytest.mark.parametrize('operator', KERNELS)
def test_the_parser_of_tensorrt_rtx_finds_the_plugin_of_a_node(operator):
    """It hands over the attribute; then it gives up, for RTX has no plugin layers."""
    script = Path(__file__).with_name('plugin_in_rtx.py')
    done = subprocess.run(
        [sys.executable, str(script), operator, 'parse'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f'created {operator} with levels {LEVELS}' in done.stdout, done.stderr
