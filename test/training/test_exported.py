from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_run import small_preset

from training.config import DecoderConfig
from training.deployed import DeployedModel
from training.export_parity import example_inputs, torch_outputs
from training.exported import exported_form
from training.model.level_convolution import LevelConvolution
from training.model.selfocc import SelfOcc
from training.model.volume_convolution import VolumeConvolution

CLASSES = ('road', 'other')


def deployed(kind: str, view: str = 'tpv', classes: tuple[str, ...] = ()) -> DeployedModel:
    preset = small_preset()
    decoder = DecoderConfig() if kind == 'mlp' else preset.model.decoder
    decoder = replace(decoder, class_names=classes)
    encoder = replace(preset.model.encoder, view=view)
    preset = replace(preset, model=replace(preset.model, decoder=decoder, encoder=encoder))
    torch.manual_seed(1)
    network = SelfOcc(preset.model)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return DeployedModel(network, preset).eval()


@pytest.mark.parametrize('view', ['tpv', 'bev'])
@pytest.mark.parametrize('kind', ['convolutions', 'mlp'])
@pytest.mark.parametrize('classes', [(), CLASSES])
def test_the_exported_form_gives_the_same(kind, view, classes):
    model = deployed(kind, view, classes)
    inputs = example_inputs(6, 32, 64, seed=2)
    expected, actual = torch_outputs(model, inputs), torch_outputs(exported_form(model), inputs)
    assert len(expected) == (3 if classes else 2)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        torch.testing.assert_close(
            torch.from_numpy(actual[name]), torch.from_numpy(array), atol=1e-4, rtol=1e-5
        )


def test_it_computes_no_colour_and_leaves_the_model_as_it_is():
    model = deployed('convolutions', classes=CLASSES)
    form = exported_form(model)
    assert form.network.decoder.channels == model.network.decoder.channels - 3
    for network, kind in ((model.network, VolumeConvolution), (form.network, LevelConvolution)):
        assert all(type(layer) is kind for layer in network.decoder.context)
        assert all(type(layer) is kind for layer in network.decoder.refinements)
