from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_builder import FakeTensorRt
from fake_engine import ORIN
from surround_model import for_one_rig, surround_inputs, write_surround_model

sys.path.append(str(Path(__file__).parents[1] / 'cuda'))
from fake_cuda import FakeCuda

from selfocc_core.cuda import driver as driver_module
from selfocc_core.cuda.cuda_python_driver import CudaPythonDriver
from selfocc_core.engine.calibration import ActivationObserver
from selfocc_core.engine.rtx_check import activation_bytes
from selfocc_core.engine.scales import Scales
from selfocc_core.engine.tensorrt_compiler import (
    TensorRtCompiler,
    _check_version,
    device_environment,
)
from selfocc_core.engine.tensorrt_log import collecting_logger, reason_from
from selfocc_core.errors import SelfOccError
from selfocc_core.plugin import nvrtc
from selfocc_core.plugin.last_error import keeping_error, take_last_error
from selfocc_core.shipped_model import shipped_model

pytestmark = pytest.mark.deployment

STOCK = 'MultiscaleDeformableAttnPlugin_TRT'
# Of the native fallback; a body that keeps what it gathers takes 530 MB.
ACTIVATION_BUDGET_BYTES = 80 * 2**20


def compile_with(trt, timing_cache=b'', progress=lambda *_: None):
    return TensorRtCompiler(trt, ORIN).compile(b'graph', timing_cache, progress)


@pytest.mark.parametrize(('version', 'flags'), [('10.3.0', 0b11), ('11.4.0', 0b10)])
def test_networks_are_strongly_typed_on_every_version(version, flags):
    trt = FakeTensorRt(version)
    compiled = compile_with(trt)
    assert trt.network_flags == flags
    assert (compiled.engine, compiled.timing_cache) == (b'engine', b'new timings')


def test_memory_is_bounded_and_single_precision_is_not_rounded():
    trt = FakeTensorRt()
    compile_with(trt)
    assert trt.config.pools == {'workspace': 4 * 2**30}
    assert trt.config.cleared == ['tf32']


def test_what_only_helps_to_debug_tensorrt_is_heard_by_nobody():
    heard = []
    compiler = TensorRtCompiler(FakeTensorRt(), ORIN, hear=heard.append)
    compiler.compile(b'graph', b'', lambda *_: None)
    assert heard == ['Total Activation Memory: 12 bytes']
    assert not [kept for kept in vars(compiler).values() if isinstance(kept, list) and kept]


def test_of_endless_errors_the_first_and_the_newest_are_kept():
    errors = []
    logger = collecting_logger(FakeTensorRt(), errors)
    for number in range(1000):
        logger.log(1, f'error {number} ' + 'x' * 9000)
    assert len(errors) == 20
    assert [errors[0][:8], errors[-1][:9]] == ['error 0 ', 'error 999']
    assert len(errors[-1]) == 400
    assert reason_from(errors) == f'{errors[0]}; {errors[-1]}'


def configure_without_compiler():
    """A method of a plugin, as the plugins' are, that raises what the bindings swallow."""
    raise SelfOccError('no CUDA compiler for sm_87 (found: none): install it')


def test_why_a_plugin_refused_is_told():
    trt = FakeTensorRt(plugin=keeping_error(configure_without_compiler))
    with pytest.raises(SelfOccError) as told:
        compile_with(trt)
    assert str(told.value) == (
        'TensorRT cannot build it: no CUDA compiler for sm_87 (found: none): install it; '
        'a plugin failed'
    )
    with pytest.raises(SelfOccError, match=r'cannot build it: no implementation for node$'):
        compile_with(FakeTensorRt(builds=False))


def test_an_earlier_error_of_a_plugin_is_not_blamed_for_a_later_build():
    with pytest.raises(SelfOccError, match='no CUDA compiler'):
        keeping_error(configure_without_compiler)()
    with pytest.raises(SelfOccError, match=r'cannot build it: no implementation for node$'):
        compile_with(FakeTensorRt(builds=False))
    assert take_last_error() is None


def environment_of(monkeypatch, creators=(), compilers=()):
    monkeypatch.setattr(driver_module, 'open_driver', lambda: CudaPythonDriver(FakeCuda()))
    monkeypatch.setattr(nvrtc, 'find_compilers', lambda: iter(compilers))
    return device_environment(FakeTensorRt(creators=creators))


def compiler_of_version(version):
    return SimpleNamespace(
        version=version, major=int(version.split('.')[0]), supports=lambda arch: arch == 'sm_87'
    )


def test_an_engine_depends_on_what_decides_which_modes_are_possible(monkeypatch):
    """A lesser engine, built where a compiler or a plugin lacked, must not stay for ever."""
    bare = environment_of(monkeypatch)
    assert (bare.nvrtc, bare.stock_plugin) == ('none', 'none')
    assert environment_of(monkeypatch, ((STOCK, '2'),)) == replace(bare, stock_plugin='2')
    old, new = compiler_of_version('12.6'), compiler_of_version('13.0')
    assert environment_of(monkeypatch, compilers=[old]) == replace(bare, nvrtc='12.6')
    assert environment_of(monkeypatch, compilers=[new]) == bare  # of no use under a driver of 12.6


def test_progress_is_that_of_the_outermost_phase():
    told = []
    compile_with(FakeTensorRt(), progress=lambda *step: told.append(step))
    assert told == [('Building', 0, 2), ('Building', 1, 2)]


def test_timings_of_another_device_are_left_aside():
    trt = FakeTensorRt()
    compile_with(trt, b'mine')
    assert trt.config.tried_caches == [b'mine']
    trt = FakeTensorRt()
    assert compile_with(trt, b'of another device').engine == b'engine'
    assert trt.config.tried_caches == [b'of another device', b'']


def test_what_tensorrt_refuses_is_told_in_its_words():
    with pytest.raises(SelfOccError, match='cannot parse it: unknown plugin'):
        compile_with(FakeTensorRt(refusal='unknown plugin'))
    with pytest.raises(SelfOccError, match='cannot build it: no implementation for node'):
        compile_with(FakeTensorRt(builds=False))
    with pytest.raises(SelfOccError, match=r'no usable GPU \(CUDA initialization failure'):
        compile_with(FakeTensorRt(has_device=False))


def test_the_newest_stock_plugin_is_asked_for():
    assert TensorRtCompiler(FakeTensorRt(), ORIN).stock_version is None
    creators = (('Other', '9'), (STOCK, '1'), (STOCK, '2'))
    trt = FakeTensorRt(creators=creators)
    assert TensorRtCompiler(trt, ORIN).stock_version == '2'
    assert trt.initialised


def test_old_versions_are_refused():
    for version in ('10.3.0.30', '10.16.1', '11.0', '11.4.0.106'):
        _check_version(version)
    with pytest.raises(SelfOccError, match=r'8\.6\.2 is too old: install 10\.3'):
        _check_version('8.6.2')


def test_the_memory_of_activations_is_read_from_the_log():
    messages = ['x', 'Total Activation Memory: 12 bytes', 'Total Activation Memory: 34 bytes']
    assert activation_bytes(messages) == 34
    assert activation_bytes(['Total Weights Memory: 5 bytes']) is None


def rtx_check(*arguments):
    """Check a graph in a process of its own, as TensorRT-RTX may abort it."""
    if find_spec('tensorrt_rtx') is None:
        pytest.skip('TensorRT-RTX is not installed: pip install tensorrt-rtx-cu13')
    command = [sys.executable, '-m', 'selfocc_core.engine.rtx_check', *map(str, arguments)]
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_rtx_builds_the_shipped_model_within_the_budget(precision):
    report = rtx_check(shipped_model(), precision)
    assert report['engine_bytes'] > 10**6
    assert 10**6 < report['activation_bytes'] < ACTIVATION_BUDGET_BYTES


@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'int8'])
def test_rtx_builds_attention_in_standard_operators(tmp_path, precision):
    model = write_surround_model(tmp_path / 'm.onnx')
    if precision == 'int8':
        observer = ActivationObserver(model)
        observer.infer(surround_inputs())
        hashed = observer.card.onnx_sha256
        scales = Scales(model=hashed, drive='d', frame_sets=1, of_tensors=observer.scales())
        scales.save(tmp_path, model)
    report = rtx_check(model, precision, *([tmp_path] if precision == 'int8' else []))
    assert report['engine_bytes'] > 1000


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_rtx_builds_attention_to_visible_pairs(tmp_path, precision):
    (tmp_path / 'm.onnx').write_bytes(for_one_rig().SerializeToString())
    assert rtx_check(tmp_path / 'm.onnx', precision)['engine_bytes'] > 1000


def test_rtx_refuses_in_a_sentence(tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(b'no model')
    command = [sys.executable, '-m', 'selfocc_core.engine.rtx_check', str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
