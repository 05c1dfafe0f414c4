"""From signed distances along a ray to rendering weights (NeuS, Wang et al. 2021)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RayWeights(NamedTuple):
    """How much each place on a ray contributes.

    Attributes:
        weights: Of each bin ``[R, S]``.
        background: Of what lies beyond the volume ``[R]``; together they sum to 1.
    """

    weights: Tensor
    background: Tensor


def sdf_to_weights(sdf: Tensor, inside: Tensor, sharpness: Tensor | float) -> RayWeights:
    """Return rendering weights of the bins between neighbouring samples.

    The opacity of a bin is the relative drop of ``Φ(s) = sigmoid(sharpness · s)`` over it. The
    first sample gets the opacity ``1 - Φ``: a ray that starts inside a solid ends there, so that
    no unseen mound can grow around the vehicle.

    Args:
        sdf: Signed distance at the samples ``[R, S]``, in metres.
        inside: Whether the sample lies in the volume ``[R, S]``; outside is empty.
        sharpness: ``inv_s`` in 1/m.

    Returns:
        Weights of ``S`` bins: the first sample, then the ``S - 1`` intervals.
    """
    occupancy = torch.sigmoid(sharpness * sdf)
    drop = (occupancy[:, :-1] - occupancy[:, 1:]) / occupancy[:, :-1].clamp(min=1e-5)
    opacity = torch.cat([1 - occupancy[:, :1], drop.clamp(0, 1)], 1) * inside
    # A sum of logarithms rather than a product, which ONNX has no operator for.
    transmittance = (1 - opacity).clamp(min=1e-7).log().cumsum(1).exp()
    before = torch.cat([torch.ones_like(opacity[:, :1]), transmittance[:, :-1]], 1)
    return RayWeights(opacity * before, transmittance[:, -1])


def bin_centers(distances: Tensor) -> Tensor:
    """Return the distance ``[..., S]`` at which each bin of ``sdf_to_weights`` stands."""
    middles = 0.5 * (distances[..., 1:] + distances[..., :-1])
    return torch.cat([distances[..., :1], middles], -1)
