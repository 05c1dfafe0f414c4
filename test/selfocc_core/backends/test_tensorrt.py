from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from fake_runtime import GRID, LATTICE, inputs

from selfocc_core.backends.tensorrt import DeviceEngineRunner, TensorRtBackend, engine_folder
from selfocc_core.errors import SelfOccError

pytestmark = pytest.mark.deployment


class Builder(ModuleType):
    """Stands for ``selfocc_core.engine.builder``."""

    def __init__(self, engine: Path) -> None:
        super().__init__('selfocc_core.engine.builder')
        self.engine, self.asked, self.tried = engine, [], None
        self.reasons, self.tries = (), True

    def engine_for(self, model_path, precision, cache, runner, report):
        self.asked.append((model_path, precision, cache))
        if self.tries:
            self.tried = runner.run(self.engine, inputs())
        report('plugin: building')
        return SimpleNamespace(path=self.engine, mode='plugin', reasons=self.reasons)


class Compiler:
    """A TensorRT that builds the only engine that the fake one runs."""

    stock_version = None

    @property
    def environment(self):
        from selfocc_core.engine.compiler import EngineEnvironment

        return EngineEnvironment('10.3', '12.6', '12.6', 'Orin', '8.7', 16, '12.6', 'none', 'k')

    def compile(self, graph, timing_cache, progress):
        from selfocc_core.engine.compiler import CompiledEngine

        return CompiledEngine(b'engine', b'')


@pytest.fixture
def builder(monkeypatch, cuda, trt, engine, tmp_path):
    """Everything that the backend imports, replaced."""
    registration = ModuleType('selfocc_core.plugin.registration')
    registration.register_plugins = lambda module: None
    modules = {
        'tensorrt': trt,
        'pycuda.driver': None,
        'cuda.bindings.driver': cuda,
        'cuda.bindings': SimpleNamespace(driver=cuda),
        'selfocc_core.plugin.registration': registration,
        'selfocc_core.engine.builder': Builder(engine),
    }
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return modules['selfocc_core.engine.builder']


def test_a_model_becomes_an_engine_that_runs(builder, model, cuda):
    told = []
    with closing(TensorRtBackend(model, 'fp32', told.append)) as backend:
        outputs = backend.infer(inputs(3))
        assert (backend.name, backend.card.name, backend.engine.mode) == (
            'tensorrt', 'mock', 'plugin',
        )  # fmt: skip
    np.testing.assert_allclose(outputs.sdf, inputs(3).images.mean(), rtol=1e-5)
    assert builder.asked == [(model, 'fp32', engine_folder())]
    assert told == ['plugin: building']
    assert (cuda.open, cuda.stack) == ({}, [])
    backend.close()  # a second time does nothing


def test_the_real_builder_takes_what_we_give_it(monkeypatch, builder, model, trt):
    """Only the compiler is not there: graph modes, golden outputs and the cache are the real."""
    given = inputs(7)
    outputs = {
        'sdf': np.full(GRID, given.images.mean(), np.float32),
        'depth': np.full(LATTICE, given.image_from_ego.sum(), np.float32),
    }
    np.savez(model.with_suffix('.golden.npz'), **vars(given), **outputs)
    monkeypatch.delitem(sys.modules, 'selfocc_core.engine.builder')
    compiler = ModuleType('selfocc_core.engine.tensorrt_compiler')
    compiler.tensorrt_compiler = Compiler
    monkeypatch.setitem(sys.modules, compiler.__name__, compiler)
    told = []
    with closing(TensorRtBackend(model, 'fp32', told.append)) as backend:
        assert (backend.engine.mode, backend.engine.was_cached) == ('native', False)
        np.testing.assert_allclose(backend.infer(given).sdf, outputs['sdf'], rtol=1e-5)
    assert 'native: building' in told
    with closing(TensorRtBackend(model, 'fp32')) as backend:
        assert backend.engine.was_cached
    given.images[:] = 0
    np.savez(model.with_suffix('.golden.npz'), **vars(given), **outputs)
    with pytest.raises(SelfOccError, match=r'no engine of .* computes what the model does'):
        TensorRtBackend(model, 'fp32')


def test_engine_and_graph_are_told(builder, model, trt):
    trt.refuses = 'capture'
    refusal = SimpleNamespace(mode='fused plugin', reason='no CUDA compiler')
    builder.reasons = (refusal,)
    with closing(TensorRtBackend(model, 'int8')) as backend:
        assert backend.details == {
            'engine': 'plugin, int8',
            'CUDA graph': 'not tried yet',
            'engine not taken: fused plugin': 'no CUDA compiler',
        }
        backend.infer(inputs())
        assert 'no CUDA graph was captured' in backend.details['CUDA graph']


@pytest.mark.parametrize('call', ['cuMemFreeHost', 'cuDevicePrimaryCtxRelease'])
def test_why_the_backend_cannot_be_opened_is_not_hidden_by_closing(
    builder, model, trt, cuda, call
):
    trt.tensors['sdf'] = ((4, 4, 4), 'float32', 'output')
    builder.tries = False
    cuda.refused = call
    with pytest.raises(SelfOccError, match='but its card says'):
        TensorRtBackend(model, 'fp16')


def test_why_an_engine_does_not_run_is_not_hidden_by_closing(builder, driver, trt, cuda, engine):
    trt.refuses, cuda.refused = 'ever', 'cuMemFreeHost'
    with pytest.raises(SelfOccError, match='TensorRT refused to enqueue'):
        DeviceEngineRunner(driver).run(engine, inputs())
    cuda.refused = None
    cuda.open = {handle: kind for handle, kind in cuda.open.items() if kind == 'context'}


def test_the_gates_runner_runs_an_engine_without_a_graph(builder, model, cuda):
    TensorRtBackend(model, 'fp16').close()
    np.testing.assert_allclose(builder.tried.depth, inputs().image_from_ego.sum(), rtol=1e-4)
    assert 'cuStreamBeginCapture' not in cuda.calls


def test_the_runner_gives_everything_back(builder, driver, cuda, engine):
    DeviceEngineRunner(driver).run(engine, inputs())
    assert list(cuda.open.values()) == ['context']


@pytest.mark.parametrize('call', ['cuMemHostAlloc', 'cuStreamCreate', 'cuCtxPushCurrent'])
def test_a_device_that_refuses_leaves_nothing(builder, model, cuda, call):
    cuda.refused = call
    with pytest.raises(SelfOccError, match=f'{call} failed'):
        TensorRtBackend(model, 'fp16')
    cuda.refused = None
    assert cuda.open == {} or call == 'cuCtxPushCurrent'


def test_an_engine_of_another_model_is_refused(builder, model, trt, cuda):
    trt.tensors['sdf'] = ((4, 4, 4), 'float32', 'output')
    with pytest.raises(SelfOccError, match=r'"sdf" of shape \[4, 4, 4\], but its card says'):
        TensorRtBackend(model, 'fp16')
    assert cuda.open == {}


def test_without_tensorrt_the_sentence_says_so(monkeypatch, model):
    monkeypatch.setitem(sys.modules, 'tensorrt', None)
    with pytest.raises(SelfOccError, match='TensorRT for Python cannot be imported'):
        TensorRtBackend(model, 'fp16')


def test_engines_are_kept_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert engine_folder() == tmp_path / 'selfocc' / 'engines'
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert engine_folder() == Path.home() / '.cache' / 'selfocc' / 'engines'
