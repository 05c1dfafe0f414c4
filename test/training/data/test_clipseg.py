"""The adapter's logic, with a stand-in for transformers: the real network is not at hand."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from selfocc_core.errors import SelfOccError
from training.data.labeller import load_labeller

CLASSES = ('road', 'pedestrian', 'other_flat')


class Network:
    """Sees the first thing on the left and the second on the right, neither in the middle."""

    def __init__(self):
        self.asked = {}

    def from_pretrained(self, weights):
        assert weights == 'CIDAS/clipseg-rd64-refined'
        return self

    def eval(self):
        return self

    def __call__(self, **inputs):
        if 'text' in inputs:  # as the processor
            self.asked = inputs
            return {'count': len(inputs['text'])}
        logits = torch.full((inputs['count'], 12, 12), -9.0)
        logits[0, :, :4] = 3.0
        logits[-1, :, 8:] = 4.0
        return SimpleNamespace(logits=logits.squeeze(0))


@pytest.fixture
def network(monkeypatch):
    fake = Network()
    module = SimpleNamespace(CLIPSegProcessor=fake, CLIPSegForImageSegmentation=fake)
    monkeypatch.setitem(sys.modules, 'transformers', module)
    return fake


def test_each_pixel_gets_the_likeliest_class(network):
    labeller = load_labeller('training.data.clipseg:clipseg', CLASSES)
    labels = labeller.label(np.zeros((24, 36, 3), np.uint8))
    assert (labels.shape, labels.dtype) == ((24, 36), np.uint8)
    assert (labels[:, :10] == 0).all()
    assert (labels[:, 16:20] == 255).all()
    assert (labels[:, 27:] == 2).all()
    assert network.asked['text'] == ['road', 'a person', 'a paved place']
    assert len(network.asked['images']) == 3


def test_a_single_class_has_no_axis_of_its_own(network):
    labeller = load_labeller('training.data.clipseg:clipseg', ('road',))
    labels = labeller.label(np.zeros((12, 12, 3), np.uint8))
    assert (labels[:, [0, 11]] == 0).all()


def test_without_transformers_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(SelfOccError, match='pip install transformers'):
        load_labeller('training.data.clipseg:clipseg', CLASSES)
