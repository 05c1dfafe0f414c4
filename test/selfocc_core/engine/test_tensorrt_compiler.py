from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from fake_builder import FakeTensorRt
from fake_engine import ORIN
from surround_model import surround_inputs, write_surround_model

from selfocc_core.engine.calibration import ActivationObserver
from selfocc_core.engine.compiler import CompilerOptions
from selfocc_core.engine.rtx_check import activation_bytes
from selfocc_core.engine.scales import Scales
from selfocc_core.engine.tensorrt_compiler import TensorRtCompiler, _check_version
from selfocc_core.errors import SelfOccError
from selfocc_core.shipped_model import shipped_model

pytestmark = pytest.mark.deployment

STOCK = 'MultiscaleDeformableAttnPlugin_TRT'
# Of the native fallback, which attends for every pair of camera and query, seen or not.
ACTIVATION_BUDGET_BYTES = 640 * 2**20


def compile_with(trt, timing_cache=b'', progress=lambda *_: None, **options):
    compiler = TensorRtCompiler(trt, ORIN)
    return compiler.compile(b'graph', CompilerOptions(**options), timing_cache, progress)


@pytest.mark.parametrize(('version', 'flags'), [('10.3.0', 0b11), ('11.4.0', 0b10)])
def test_networks_are_strongly_typed_on_every_version(version, flags):
    trt = FakeTensorRt(version)
    compiled = compile_with(trt)
    assert trt.network_flags == flags
    assert (compiled.engine, compiled.timing_cache) == (b'engine', b'new timings')


def test_options_reach_the_builder():
    trt = FakeTensorRt()
    compile_with(trt, workspace_mib=3)
    assert trt.config.pools == {'workspace': 3 * 2**20}
    assert trt.config.cleared == ['tf32']
    trt = FakeTensorRt()
    compile_with(trt, tf32=True)
    assert trt.config.cleared == []


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


def test_rtx_refuses_in_a_sentence(tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(b'no model')
    command = [sys.executable, '-m', 'selfocc_core.engine.rtx_check', str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
