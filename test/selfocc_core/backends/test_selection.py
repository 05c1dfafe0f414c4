from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from selfocc_core.backends import ModelOutputs, open_backend, selection
from selfocc_core.backends.interface import blank_inputs
from selfocc_core.backends.onnxruntime import CPU, CUDA, OnnxRuntimeBackend
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard

pytestmark = pytest.mark.deployment


@dataclass
class FakeBackend:
    name: str
    card: ModelCard
    sdf_shape: tuple[int, ...] = (4, 4, 2)
    value: float = 1.0
    closed: bool = False
    ran: list = field(default_factory=list)

    def infer(self, inputs):
        self.ran.append(inputs)
        return ModelOutputs(
            np.full(self.sdf_shape, self.value, np.float32), np.ones((2, 2, 3), np.float32)
        )

    def close(self):
        self.closed = True


@pytest.fixture
def offers(monkeypatch, model):
    """What each runtime gives: a backend, or an error to raise."""
    card = ModelCard.load_for(model)
    offers = {name: FakeBackend(name, card) for name in selection.BACKENDS}

    def opener(name):
        def open_it(model_path, threads, report):
            if isinstance(offers[name], Exception):
                raise offers[name]
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
    """An ONNX Runtime with some providers, of which some work."""
    real = pytest.importorskip('onnxruntime')

    def session(path, options, providers):
        if working is None:
            raise RuntimeError('CUDA failure 100\nmore')
        opened = real.InferenceSession(path, options, providers=[CPU])
        return SimpleNamespace(
            get_providers=lambda: [p for p in providers if p in working],
            get_inputs=opened.get_inputs,
            get_outputs=opened.get_outputs,
            run=opened.run,
        )

    fake = SimpleNamespace(
        __version__='1.0',
        get_available_providers=lambda: available,
        SessionOptions=real.SessionOptions,
        InferenceSession=session,
    )
    monkeypatch.setitem(sys.modules, 'onnxruntime', fake)


@pytest.mark.parametrize(
    ('available', 'working', 'sentence'),
    [
        ([CPU], [CPU], 'built without CUDA'),
        ([CUDA, CPU], [CPU], 'cannot start CUDA'),
        ([CUDA, CPU], None, 'on the GPU: CUDA failure 100$'),
    ],
)
def test_cuda_is_not_believed_but_seen(monkeypatch, model, available, working, sentence):
    fake_onnxruntime(monkeypatch, available, working)
    with pytest.raises(SelfOccError, match=sentence):
        OnnxRuntimeBackend(model, cuda=True)


def test_cuda_that_works_is_named(monkeypatch, model):
    fake_onnxruntime(monkeypatch, [CUDA, CPU], [CUDA, CPU])
    backend = selection.proven_backend('onnxruntime-cuda', model, 1)
    assert backend.name == 'onnxruntime-cuda'
