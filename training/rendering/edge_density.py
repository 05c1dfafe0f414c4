"""The small presets and the exported model with a density field instead of a signed distance.

As ``density`` for the method's bins, here for the bins between neighbouring samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.rendering.density import density_of
from training.rendering.weights import RayWeights, weights_of_passed


def density_to_weights(
    values: Tensor, inside: Tensor, distances: Tensor, sharpness: Tensor | float
) -> RayWeights:
    """Return rendering weights of the bins between neighbouring samples of a density field.

    A bin lets ``exp(-σ̄ Δ)`` through, with the mean density of its two ends. The first sample's
    bin reaches back to the camera: a ray that starts inside something dense ends there.

    Args:
        values: ``f [R, S]``, channel 0 at the samples.
        inside: Whether the sample lies in the volume ``[R, S]``; outside is empty.
        distances: Euclidean distance of the samples from the camera ``[R, S]`` or ``[S]``, in
            metres.
        sharpness: ``inv_s``, how fast the density grows.

    Returns:
        Weights of ``S`` bins: the first sample, then the ``S - 1`` intervals.
    """
    density = density_of(values, sharpness)
    mean = torch.cat([density[:, :1], 0.5 * (density[:, 1:] + density[:, :-1])], 1)
    widths = torch.cat([distances[..., :1], distances[..., 1:] - distances[..., :-1]], -1)
    log_passed = -mean * widths * inside
    return RayWeights(weights_of_passed(log_passed).weights, log_passed.sum(1).exp())


def opacity_over(values: Tensor, length_m: float, sharpness: Tensor | float) -> Tensor:
    """Return the share of light ``1 - exp(-σ L)`` that is lost on a length of even density."""
    return -torch.expm1(-density_of(values, sharpness) * length_m)
