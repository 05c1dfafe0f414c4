from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from selfocc_core.backends import ModelOutputs, open_backend, selection, tensorrt
from selfocc_core.backends.interface import blank_inputs
from selfocc_core.backends.onnxruntime import CPU, CUDA, OnnxRuntimeBackend
from selfocc_core.engine.parity import DEFAULT_PRECISION
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard

pytestmark = pytest.mark.deployment


@dataclass
class FakeBackend:
    name: str
    card: ModelCard
    sdf_shape: tuple[int, ...] = (4, 4, 2)
    value: float = 1.0
    depth: float = 1.0
    closed: bool = False
    precision: str = ''
    details: dict = field(default_factory=dict)
    ran: list = field(default_factory=list)

    def infer(self, inputs):
        self.ran.append(inputs)
        return ModelOutputs(
            np.full(self.sdf_shape, self.value, np.float32),
            np.full((2, 2, 3), self.depth, np.float32),
        )

    def close(self):
        self.closed = True


@pytest.fixture
def offers(monkeypatch, model):
    """What each runtime gives: a backend, or an error to raise."""
    card = ModelCard.load_for(model)
    offers = {name: FakeBackend(name, card) for name in selection.BACKENDS}

    def opener(name):
        def open_it(model_path, threads, precision, report):
            if isinstance(offers[name], Exception):
                raise offers[name]
            offers[name].precision = precision
            return offers[name]

        return open_it

    monkeypatch.setattr(selection, '_OPENERS', {name: opener(name) for name in offers})
    return offers


def test_the_best_that_runs_is_taken(offers, model):
    backend = open_backend(model)
    assert (backend.name, dict(backend.rejected)) == ('tensorrt', {})
    assert len(offers['tensorrt'].ran) == 1
    assert not offers['onnxruntime-cpu'].ran


def test_what_is_better_and_fails_is_kept_with_its_reason(offers, model):
    offers['tensorrt'] = SelfOccError('TensorRT is missing: install it')
    offers['onnxruntime-cuda'] = RuntimeError('segment\nfault')
    backend = open_backend(model)
    assert backend.name == 'onnxruntime-cpu'
    assert dict(backend.rejected) == {
        'tensorrt': 'TensorRT is missing: install it',
        'onnxruntime-cuda': 'RuntimeError: segment',
    }


@pytest.mark.parametrize(
    'fault', [{'sdf_shape': (4, 4, 3)}, {'value': np.nan}], ids=['shape', 'no number']
)
def test_a_runtime_that_opens_but_gives_nonsense_is_closed(offers, model, fault):
    broken = offers['tensorrt'] = FakeBackend('tensorrt', offers['tensorrt'].card, **fault)
    backend = open_backend(model)
    assert backend.name == 'onnxruntime-cuda'
    assert 'no usable "sdf"' in backend.rejected['tensorrt']
    assert broken.closed


def test_one_that_is_asked_for_by_name_is_the_only_one_tried(offers, model):
    assert open_backend(model, backend='onnxruntime-cpu').name == 'onnxruntime-cpu'
    assert not offers['tensorrt'].ran
    offers['tensorrt'] = SelfOccError('TensorRT is missing')
    with pytest.raises(SelfOccError, match='TensorRT is missing'):
        open_backend(model, backend='tensorrt')


def test_an_unknown_name_is_refused(model):
    with pytest.raises(SelfOccError, match='there is no backend "gpu": give one of auto'):
        open_backend(model, backend='gpu')


def test_an_unusable_model_is_not_blamed_on_the_runtimes(offers, model):
    model.unlink()
    with pytest.raises(SelfOccError, match='there is no model at'):
        open_backend(model)
    assert not any(offer.ran for offer in offers.values())


def test_the_chosen_one_is_used_and_closed(offers, model):
    backend = open_backend(model)
    assert backend.card == offers['tensorrt'].card
    backend.infer(blank_inputs(backend.card))
    backend.close()
    assert len(offers['tensorrt'].ran) == 2
    assert offers['tensorrt'].closed


def test_here_without_a_gpu_it_is_the_cpu(monkeypatch, model):
    monkeypatch.setitem(sys.modules, 'tensorrt', None)
    backend = open_backend(model, threads=1)
    assert backend.name == 'onnxruntime-cpu'
    assert set(backend.rejected) == {'tensorrt', 'onnxruntime-cuda'}
    assert all('\n' not in reason for reason in backend.rejected.values())
    backend.close()


def fake_onnxruntime(monkeypatch, available, working):
    """An ONNX Runtime with some providers, of which some work; return what it is asked for."""
    asked = []
    real = pytest.importorskip('onnxruntime')

    def session(path, options, providers):
        if working is None:
            raise RuntimeError('CUDA failure 100\nmore')
        asked.append(providers)
        names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
        opened = real.InferenceSession(path, options, providers=[CPU])
        return SimpleNamespace(
            get_providers=lambda: [name for name in names if name in working],
            get_inputs=opened.get_inputs,
            get_outputs=opened.get_outputs,
            run=opened.run,
        )

    fake = SimpleNamespace(
        __version__='1.0',
        get_available_providers=lambda: available,
        SessionOptions=real.SessionOptions,
        RunOptions=real.RunOptions,
        InferenceSession=session,
    )
    monkeypatch.setitem(sys.modules, 'onnxruntime', fake)
    return asked


@pytest.mark.parametrize(
    ('available', 'working', 'sentence'),
    [
        ([CPU], [CPU], 'built without CUDA: install .*, on a Jetson, for which pip has none'),
        ([CUDA, CPU], [CPU], 'cannot start CUDA'),
        ([CUDA, CPU], None, 'on the GPU: CUDA failure 100$'),
    ],
)
def test_cuda_is_not_believed_but_seen(monkeypatch, model, available, working, sentence):
    fake_onnxruntime(monkeypatch, available, working)
    with pytest.raises(SelfOccError, match=sentence):
        OnnxRuntimeBackend(model, cuda=True)


def test_cuda_that_works_is_named(monkeypatch, model):
    asked = fake_onnxruntime(monkeypatch, [CUDA, CPU], [CUDA, CPU])
    backend = selection.proven_backend('onnxruntime-cuda', model, 1)
    assert backend.name == 'onnxruntime-cuda'
    assert asked == [[(CUDA, {'use_tf32': '0'}), CPU]]


def write_golden_of_fakes(model, depth=1.0):
    arrays = vars(blank_inputs(ModelCard.load_for(model)))
    sdf, lattice = np.linspace(-1, 1, 32, dtype=np.float32), np.full((2, 2, 3), depth, np.float32)
    np.savez(model.with_suffix('.golden.npz'), **arrays, sdf=sdf.reshape(4, 4, 2), depth=lattice)
    return sdf.reshape(4, 4, 2)


@pytest.mark.parametrize('name', ['tensorrt', 'onnxruntime-cuda'])
def test_a_gpu_must_give_the_golden_outputs(offers, model, name):
    offers[name].value = write_golden_of_fakes(model)
    assert selection.proven_backend(name, model, None) is offers[name]
    np.testing.assert_array_equal(offers[name].ran[0].images, 128)
    offers[name].depth = 1.1
    with pytest.raises(SelfOccError, match=r'not compute what the model does .depth differs by'):
        selection.proven_backend(name, model, None)
    assert offers[name].closed


def test_a_gpu_that_computes_something_else_gives_way_to_the_cpu(offers, model):
    sdf = write_golden_of_fakes(model)
    for name in offers:
        offers[name].value = sdf if name == 'onnxruntime-cpu' else sdf + np.float32(1)
    backend = open_backend(model)
    assert backend.name == 'onnxruntime-cpu'
    assert all('sdf differs' in reason for reason in backend.rejected.values())


def test_the_cpu_needs_no_golden_file(offers, model):
    model.with_suffix('.golden.npz').write_bytes(b'damaged')
    assert open_backend(model).name == 'onnxruntime-cpu'


def test_how_far_an_engine_may_be_off_depends_on_its_precision(offers, model):
    sdf = write_golden_of_fakes(model)
    offers['tensorrt'].value = sdf + np.float32(0.02)
    with pytest.raises(SelfOccError, match='sdf differs'):
        selection.proven_backend('tensorrt', model, None, 'fp16')
    selection.proven_backend('tensorrt', model, None, 'int8')
    assert offers['tensorrt'].precision == 'int8'


def test_the_precision_reaches_the_engine(offers, model):
    open_backend(model, precision='int8')
    assert offers['tensorrt'].precision == 'int8'
    open_backend(model)
    assert offers['tensorrt'].precision == DEFAULT_PRECISION


def test_tensorrt_is_opened_in_that_precision(monkeypatch, model):
    asked = []
    monkeypatch.setattr(tensorrt, 'TensorRtBackend', lambda *given: asked.append(given))
    selection._OPENERS['tensorrt'](model, 2, 'int8', print)
    assert asked == [(model, 'int8', print)]


def test_why_a_backend_failed_is_not_hidden_by_closing_it(offers, model):
    def close():
        raise SelfOccError('cuMemFree failed')

    offers['tensorrt'].value, offers['tensorrt'].close = np.nan, close
    assert 'no usable "sdf"' in open_backend(model).rejected['tensorrt']


def test_details_are_those_of_the_runtime(offers, model):
    offers['tensorrt'].details = {'engine': 'plugin, fp16'}
    assert open_backend(model).details == {'engine': 'plugin, fp16'}
