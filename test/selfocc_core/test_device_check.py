from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / 'cuda'), str(HERE.parent)]
pytest.importorskip('onnx')

from fake_cuda import FakeCuda  # noqa: E402
from mock_model import write_mock_model  # noqa: E402

from selfocc_core.backends import ModelInputs, selection  # noqa: E402
from selfocc_core.cuda.cuda_python_driver import CudaPythonDriver  # noqa: E402
from selfocc_core.device_check import backends, checker, engines, gpu, machine  # noqa: E402
from selfocc_core.device_check.command import DeviceCheck  # noqa: E402
from selfocc_core.device_check.page import rows, show  # noqa: E402
from selfocc_core.device_check.report import DeviceReport  # noqa: E402
from selfocc_core.device_check.timing import Patience, measured  # noqa: E402
from selfocc_core.engine.golden import write_golden  # noqa: E402
from selfocc_core.errors import SelfOccError  # noqa: E402

pytestmark = pytest.mark.deployment
QUICK = Patience(3, 1.0)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / 'mock.onnx'
    return write_mock_model(path, cameras=2, height=8, width=12, grid_shape=(4, 4, 2))


@pytest.fixture
def no_gpu(monkeypatch):
    """What CI is, even on a machine that has one."""

    def refuse(device=0):
        raise SelfOccError('no CUDA device can be used: there is no NVIDIA driver')

    for module in (checker, backends):
        monkeypatch.setattr(module, 'open_driver', refuse)
    monkeypatch.setitem(sys.modules, 'tensorrt', None)


class Compiler:
    """Builds an engine of every graph but those of NVIDIA's plugin, which it has not."""

    stock_version = None

    def compile(self, graph, timing_cache, progress):
        return SimpleNamespace(engine=b'engine')


class Runner:
    """Gives the golden outputs, off by some metres."""

    def __init__(self, model, off_m=0.0):
        self._model, self._off_m = model, off_m

    def run(self, engine, inputs):
        assert engine.read_bytes() == b'engine'
        outputs = selection.proven_backend('onnxruntime-cpu', self._model, 1).infer(inputs)
        return SimpleNamespace(
            sdf=outputs.sdf + np.float32(self._off_m), depth=outputs.depth, semantics=None
        )


@pytest.fixture
def with_gpu(monkeypatch, model):
    """A fake device, compiler and TensorRT."""
    cuda = FakeCuda()
    for module in (checker, backends):
        monkeypatch.setattr(module, 'open_driver', lambda: CudaPythonDriver(cuda))
    monkeypatch.setattr(checker, 'DeviceEngineRunner', lambda driver: Runner(model))
    compiler = ModuleType('selfocc_core.engine.tensorrt_compiler')
    compiler.tensorrt_compiler = Compiler
    monkeypatch.setitem(sys.modules, 'selfocc_core.engine.tensorrt_compiler', compiler)
    monkeypatch.setattr(checker, 'tensorrt_with_plugins', lambda: None)
    monkeypatch.setattr(gpu, '_specializations', lambda: (kernel,))
    kernel = SimpleNamespace(operator='MSDeformAttn', precision='float16', kernel='attend')
    source = ModuleType('selfocc_core.plugin.source')
    source.kernel_source = lambda kernel: 'kernel'
    nvrtc = ModuleType('selfocc_core.plugin.nvrtc')
    nvrtc.compile_cubin = lambda source, arch, driver: f'\x7fELF {arch} {driver}'.encode()
    nvrtc.find_compilers = lambda: [SimpleNamespace(version='12.6')]
    cubin = ModuleType('selfocc_core.plugin.cubin')
    cubin.resources_of = lambda cubin, name: SimpleNamespace(registers=48, stack_bytes=0)
    for module in (source, nvrtc, cubin):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    yield cuda
    assert cuda.open == {}


def golden(model):
    random = np.random.default_rng(0)
    inputs = ModelInputs(
        random.integers(0, 256, (2, 8, 12, 3), np.uint8),
        np.tile(np.eye(3, 4, dtype=np.float32), (2, 1, 1)),
        np.ones(2, np.bool_),
    )
    return write_golden(model, inputs)


def check(model, precisions=('fp32',), **kwargs) -> DeviceReport:
    return checker.Checker(checker.Wishes(model, precisions, QUICK), **kwargs).run()


def test_without_a_gpu_that_is_said_and_the_cpu_is_measured(no_gpu, model):
    report = check(model)
    assert report.gpu is None
    assert 'there is no NVIDIA driver' in report.no_gpu
    assert (report.failures, report.kernels, report.engines) == ((), (), ())
    assert (report.chosen, report.complete) == ('onnxruntime-cpu', True)
    usable = {backend.name: backend.works for backend in report.backends}
    assert usable == {'tensorrt': False, 'onnxruntime-cuda': False, 'onnxruntime-cpu': True}
    (total,) = report.backends[-1].latencies
    assert (total.stage, total.runs) == ('total', 3)
    assert total.p95_ms >= total.p50_ms > 0
    assert report.preprocessing.p50_ms > 0
    assert report.peak_memory_bytes > 2**20
    assert report.software.numpy == np.__version__


def test_with_a_gpu_kernels_and_every_mode_are_tried(with_gpu, model):
    golden(model)
    report = check(model)
    assert (report.gpu.name, report.gpu.architecture) == ('Orin', 'sm_87')
    ((kernel,), failures) = report.kernels, report.failures
    assert (kernel.operator, kernel.registers, kernel.loads) == ('MSDeformAttn', 48, True)
    assert failures == ()
    modes = {mode.mode: mode for mode in report.engines}
    assert len(modes) == len(report.engines) >= 3
    assert modes['native'].accepted
    assert [found.output for found in modes['native'].differences] == ['sdf', 'depth']
    assert not modes['stock'].accepted
    assert "lacks NVIDIA's plugin" in modes['stock'].reason


def test_an_engine_that_computes_something_else_is_refused(model):
    golden(model)
    found = {
        m.mode: m for m in engines.engine_modes(model, ['fp32'], Compiler(), Runner(model, 1.0))
    }
    assert not found['native'].accepted
    assert 'sdf differs' in found['native'].reason
    assert found['native'].differences[0].mean > 0.1


def test_a_kernel_that_does_not_load_is_told(with_gpu, model):
    golden(model)
    with_gpu.refused = 'cuModuleLoadData'
    report = check(model)
    assert not report.kernels[0].loads
    assert any('DOES NOT LOAD' in text for _, text in rows(report))


def test_without_a_golden_file_the_rest_goes_on(with_gpu, model):
    report = check(model)
    ((failure,), chosen) = report.failures, report.chosen
    assert failure.part == 'engines'
    assert 'no golden file' in failure.sentence
    assert chosen == 'onnxruntime-cpu'


@pytest.mark.parametrize('part', ['machine', 'software', 'preprocessing'])
def test_a_part_that_fails_is_recorded_and_the_rest_goes_on(monkeypatch, no_gpu, model, part):
    def fail(*_):
        raise ZeroDivisionError('a broken\nmachine')

    monkeypatch.setattr(checker, part, fail)
    report = check(model)
    assert [(f.part, f.sentence) for f in report.failures] == [
        (part, 'ZeroDivisionError: a broken')
    ]
    assert (report.chosen, report.complete) == ('onnxruntime-cpu', True)
    assert getattr(report, part) is None


def test_a_model_that_cannot_be_read_is_a_failure_not_a_crash(no_gpu, tmp_path):
    report = check(tmp_path / 'none.onnx')
    assert [failure.part for failure in report.failures] == ['model']
    assert (report.machine is not None, report.chosen, report.backends) == (True, None, ())


def test_the_report_is_kept_after_every_part(no_gpu, model):
    """A driver that ends the process must not take with it what was found before."""
    kept = []
    check(model, keep=lambda report: kept.append(report.model_dump_json()))
    reports = [DeviceReport.model_validate_json(text) for text in kept]
    assert [report.complete for report in reports[-2:]] == [False, True]
    assert reports[0].model is not None
    assert reports[0].software is None


def test_the_verb_writes_what_it_shows(no_gpu, model, tmp_path, capsys):
    path = tmp_path / 'device.json'
    DeviceCheck(model=model, json=path, runs=3, seconds=1.0).run()
    report = DeviceReport.model_validate_json(path.read_text())
    assert report.chosen == 'onnxruntime-cpu'
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'GPU none: no CUDA device can be used' in shown
    assert 'onnxruntime-cpu runs the model (there is no GPU)' in shown
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'device.json',
        'mock.card.json',
        'mock.onnx',
    ]


def test_the_verb_fails_where_nothing_runs_the_model(no_gpu, model, monkeypatch):
    def refuse(model_path, threads, precision, report):
        raise SelfOccError('not here')

    monkeypatch.setattr(selection, '_OPENERS', dict.fromkeys(selection.BACKENDS, refuse))
    with pytest.raises(SelfOccError, match='no backend runs the model on this machine'):
        DeviceCheck(model=model, runs=3).run()


@pytest.mark.parametrize('options', [{'runs': 2}, {'seconds': 0.0}])
def test_options_without_a_meaning_are_refused(options):
    with pytest.raises(SelfOccError, match='--runs must be at least 3'):
        DeviceCheck(**options).run()


def test_a_report_fits_on_one_screen(with_gpu, model):
    golden(model)
    report = check(model, precisions=('fp32', 'fp32'))
    console = Console(width=120, record=True)
    show(report, console)
    assert 10 < len(console.export_text().splitlines()) <= 40


def test_slow_calls_are_measured_three_times_and_quick_ones_as_often_as_wished():
    calls = []

    def call():
        calls.append(None)
        return {'copy in': 2.0}

    copy_in, total = measured(call, Patience(3, 0.0))
    assert (len(calls), copy_in.runs, copy_in.p50_ms, total.stage) == (4, 3, 2.0, 'total')
    assert measured(call, Patience(7, 60.0))[0].runs == 7


def test_the_release_of_a_jetson(tmp_path):
    path = tmp_path / 'nv_tegra_release'
    assert machine.l4t_release(path) is None
    path.write_text(
        '# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64'
    )
    assert machine.l4t_release(path) == '36.4.3'
    path.write_text('something new\n')
    assert machine.l4t_release(path) == 'something new'


def test_the_power_mode_of_a_jetson(tmp_path, monkeypatch):
    program = tmp_path / 'nvpmodel'
    program.write_text('#!/bin/sh\n[ "$*" = -q ] && printf "NV Power Mode: MAXN\\n0\\n"\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    assert machine.power_mode() == 'MAXN'
    monkeypatch.setattr(subprocess, 'run', lambda *_, **__: SimpleNamespace(stdout='?'))
    assert machine.power_mode() is None
    monkeypatch.setattr(machine.shutil, 'which', lambda _: None)
    assert machine.power_mode() is None
