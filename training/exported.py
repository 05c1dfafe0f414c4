"""The network as it is exported: what it gives is the same, what it computes is less."""

from __future__ import annotations

from dataclasses import replace

import torch

from training.deployed import DeployedModel
from training.model.decoder import field_channels
from training.model.level_convolution import LevelConvolution
from training.model.selfocc import SelfOcc
from training.model.volume_convolution import VolumeConvolution


def exported_form(model: DeployedModel) -> DeployedModel:
    """Return a model of the same outputs: without colour, with cheaper convolutions."""
    network = _without_color(model.network)
    levels = network.config.grid.z.nodes
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, VolumeConvolution):
                setattr(module, name, LevelConvolution(child, levels))
    return DeployedModel(network, model.preset).eval()


def _without_color(network: SelfOcc) -> SelfOcc:
    """Return a network that gives no colour, which serves training only."""
    config = network.config
    bare = SelfOcc(replace(config, decoder=replace(config.decoder, color=False)))
    channels, kept = field_channels(config), field_channels(bare.config)
    state = network.state_dict()
    for name, tensor in bare.state_dict().items():
        if tensor.shape != state[name].shape:  # of the last layer, channel after channel
            distance, *others = state[name].unflatten(0, (channels, -1))
            state[name] = torch.cat([distance, *others[channels - kept :]])
    bare.load_state_dict(state)
    return bare
