"""A density field, the alternative to the signed distance (Mildenhall et al. 2020, NeRF)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from training.rendering.weights import BinWeights, weights_of_passed


def density_of(values: Tensor, sharpness: Tensor | float) -> Tensor:
    """Return the density ``σ = softplus(-inv_s f)`` in 1/m of values ``f`` of channel 0."""
    return F.softplus(-sharpness * values)


def density_weights(values: Tensor, widths: Tensor, sharpness: Tensor) -> BinWeights:
    """Return rendering weights if channel 0 of the volume is read as a density.

    ``σ = softplus(-inv_s f)`` and ``α = 1 - exp(-σ Δ)``, ``w_i = α_i Π_{j<i} (1 - α_j)`` (NeRF;
    SimpleOcc learns occupancy in this way). The sign is that of a distance: less is more solid,
    and where ``f ≤ 0``, ``σ ≥ ln 2`` per metre, half of the light is lost on a metre. Needs no
    gradient and hence no Eikonal loss, but knows no surface to be exact about.

    Args:
        values: ``f [R, S]``, channel 0 at the samples.
        widths: ``Δ [R, S]`` in metres.
        sharpness: ``inv_s``, how fast the density grows.
    """
    return weights_of_passed(-density_of(values, sharpness) * widths)
