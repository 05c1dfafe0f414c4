"""From signed distances along a ray to rendering weights (NeuS, Wang et al. 2021)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class BinWeights(NamedTuple):
    """How much each bin of a ray contributes.

    Attributes:
        alpha: Opacity of each bin ``[R, S]``.
        weights: Opacity times the transmittance before it ``[R, S]``.
    """

    alpha: Tensor
    weights: Tensor


def neus_weights(
    sdf: Tensor,
    cosine: Tensor,
    widths: Tensor,
    sharpness: Tensor,
    *,
    anneal: float = 1.0,
    parity: bool = False,
) -> BinWeights:
    """Return the weights of a bin from the distance and its gradient at one place in it.

    Method sections 0.7 and 2.6: with the cosine ``c = d·g`` and the anneal ``a``,
    ``c̃ = -[(1-a) relu(½ - ½c) + a relu(-c)]``; the distance is taken as linear in the bin,
    ``Φ_p = σ(inv_s (s - c̃Δ/2))``, ``Φ_n = σ(inv_s (s + c̃Δ/2))``, and
    ``α = 1 - Φ_n/Φ_p``, ``w_i = α_i Π_{j<i} (1 - α_j)``.

    Args:
        sdf: ``s [R, S]`` in metres.
        cosine: ``c [R, S]``: slope of the distance along the ray.
        widths: ``Δ [R, S]`` in metres.
        sharpness: ``inv_s`` in 1/m.
        anneal: ``a``, from 0 to 1 in the first 5000 steps: lets gradients pass before
            normals have settled.
        parity: The original computes ``α = clip((Φ_p - Φ_n + 1e-5)/(Φ_p + 1e-5), 0, 1)`` and adds
            1e-4 to each factor of the transmittance, whereby weights may sum to more than 1; here
            both are taken through logarithms, without constants.
    """
    slope = -((1 - anneal) * F.relu(0.5 - 0.5 * cosine) + anneal * F.relu(-cosine))
    drop = 0.5 * slope * widths
    before, after = sharpness * (sdf - drop), sharpness * (sdf + drop)
    if not parity:
        return weights_of_passed(F.logsigmoid(after) - F.logsigmoid(before))
    phi_before, phi_after = torch.sigmoid(before), torch.sigmoid(after)
    alpha = ((phi_before - phi_after + 1e-5) / (phi_before + 1e-5)).clamp(0, 1)
    passed = torch.cumprod(1 - alpha + 1e-4, 1)
    transmittance = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], 1)
    return BinWeights(alpha, alpha * transmittance)


def weights_of_passed(log_passed: Tensor) -> BinWeights:
    """Return ``α = 1 - p`` and ``w_i = α_i Π_{j<i} p_j`` of the share ``p`` a bin lets through.

    Args:
        log_passed: ``log p [R, S]``, at most 0.
    """
    alpha = -torch.expm1(log_passed)
    transmittance = F.pad(log_passed[:, :-1].cumsum(1), (1, 0)).exp()
    return BinWeights(alpha, alpha * transmittance)


class RayWeights(NamedTuple):
    """How much each place on a ray contributes.

    Attributes:
        weights: Of each bin ``[R, S]``.
        background: Of what lies beyond the volume ``[R]``; together they sum to 1.
    """

    weights: Tensor
    background: Tensor


def resolved_sharpness(sharpness: Tensor, distances: Tensor, per_bin: float) -> Tensor:
    """Return a sharpness for each sample that the bins around it can resolve.

    A surface in the middle of a bin that is much longer than ``1 / inv_s`` leaves both ends
    saturated: it has its weight but no gradient that would move it. As a mip map does, this
    blurs the surface to the length of the bins (compare Barron et al. 2021 for radiance fields).

    Args:
        sharpness: ``inv_s`` in 1/m.
        distances: Of the samples ``[R, S]``, in metres.
        per_bin: What ``inv_s`` times the length of a bin is at most.
    """
    lengths = distances[:, 1:] - distances[:, :-1]
    return torch.minimum(sharpness, per_bin / torch.cat([lengths, lengths[:, -1:]], 1))


def softened(sharpness: Tensor, softest: float, share: float, draws: Tensor) -> Tensor:
    """Return a sharpness for each ray, softer for a share of them.

    Where free space is far from any surface, a sharp field has no weight and no gradient: what
    stands close to a camera cannot appear there any more. To soft rays it can.

    Args:
        sharpness: ``inv_s`` in 1/m.
        softest: Those of the soft rays lie between this and ``sharpness``, evenly in the
            logarithm.
        share: Of the rays that are soft.
        draws: Uniform in 0..1 ``[R, 2]``.

    Returns:
        ``[R, 1]``.
    """
    is_soft, step = draws[:, :1] < share, draws[:, 1:]
    soft = sharpness * (softest / sharpness).clamp(max=1) ** step
    return soft.where(is_soft, sharpness)


def sdf_to_weights(sdf: Tensor, inside: Tensor, sharpness: Tensor | float) -> RayWeights:
    """Return rendering weights of the bins between neighbouring samples.

    The opacity of a bin is the relative drop of ``Φ(s) = sigmoid(sharpness · s)`` over it. The
    first sample gets the opacity ``1 - Φ``: a ray that starts inside a solid ends there, so that
    no unseen mound can grow around the vehicle.

    Args:
        sdf: Signed distance at the samples ``[R, S]``, in metres.
        inside: Whether the sample lies in the volume ``[R, S]``; outside is empty.
        sharpness: ``inv_s`` in 1/m, one, or one for each ray ``[R, 1]`` or sample ``[R, S]``.

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
