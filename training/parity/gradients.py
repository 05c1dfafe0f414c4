"""Gradients of the summed losses with respect to every parameter, beside the recorded ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from training.official_weights import translate
from training.parity.comparison import FORWARD, GRADIENT, Comparison, relative_error
from training.parity.network import LEVELS, RecordedNetwork
from training.parity.rendering import losses, render_volume, total_loss

_DRAWS = 4
_LARGEST_SPREAD = 0.1
_LEAST_NOISE = 2e-7  # of float32


def compare_parameter_gradients(network: RecordedNetwork) -> Iterator[Comparison]:
    """Compare the gradients of the training losses, through the whole network.

    Behind the backbone the tolerance is that of all gradients. In the backbone the gradient is
    not a continuous function: where rounding turns the sign of a single ReLU's input, gradients
    before it jump. There the tolerance is three times the largest change that noise on the
    features causes, noise as large as the features' own disagreement, if that is more (at most
    three tenths).
    """
    recording = network.recording
    keys = [key for key in recording.arrays if key.startswith('grad/')]
    gradients = _gradients(network)
    spread = _spread(network, gradients) if any(_is_backbone(key) for key in keys) else {}
    for key in keys:
        ours = translate(key.removeprefix('grad/'))
        if ours not in gradients:
            yield Comparison(key, float('inf'), GRADIENT)
            continue
        tolerance = max(GRADIENT, 3 * spread[ours]) if _is_backbone(key) else GRADIENT
        yield Comparison(key, relative_error(gradients[ours], recording.array(key)), tolerance)


def _gradients(
    network: RecordedNetwork, noise: Sequence[float] = (0.0,) * LEVELS
) -> dict[str, Tensor]:
    """Return the gradient of every parameter; zeros of frozen ones."""
    recording, model = network.recording, network.model
    model.zero_grad(set_to_none=True)
    volume = network.decode('train', noise).volume[0]
    rendered = render_volume(recording, 'train', volume, model.sharpness.exponent)
    total_loss(recording, 'train', losses(recording, 'train', rendered)).backward()
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.named_parameters()
    }


def _spread(network: RecordedNetwork, gradients: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the largest relative change of each gradient under noise on the features."""
    with torch.no_grad():
        features = network.decode('train').features
    disagreement = [
        relative_error(own, expected.numpy())
        for own, expected in zip(features, network.recorded_features('train'), strict=True)
    ]
    # Features that are plainly wrong excuse nothing.
    noise = [max(_LEAST_NOISE, d) if d <= FORWARD else _LEAST_NOISE for d in disagreement]
    torch.manual_seed(0)
    draws = [_gradients(network, noise) for _ in range(_DRAWS)]
    return {
        name: min(_LARGEST_SPREAD, max(relative_error(d[name], g.numpy()) for d in draws))
        for name, g in gradients.items()
    }


def _is_backbone(key: str) -> bool:
    return key.startswith('grad/img_backbone.')
