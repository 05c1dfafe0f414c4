"""MVS-embedded photometric loss of the small presets (after paper section 3.3).

Like ``photometric``, but for single random pixels rather than a lattice: ``matching`` compares
neighbourhoods of several sizes at every sample, and proposals beyond the volume compete with
those in it.

Not the rendered depth is warped but every sample of the ray: each sample proposes a depth, the
images judge it, and the rendering weights are moved to the proposals that explain the video.
Sample depths are constants; gradients reach the field only through the weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.matching import UNSEEN, Appearance, Target, dissimilarity
from training.rendering.edge_render import EdgeRendering

# Rays of which less is judged say little of the field.
_LEAST_JUDGED = 0.3
# Evidence that a ray has at least, relative to the best: what matches best may be wrong.
_OUTLIER = 1e-3


class Source(NamedTuple):
    """The images of a moment that pixels are looked for in.

    Attributes:
        appearance: The images.
        cameras: Which of them each ray looks into ``[R]``.
        image_from_ego: Its projection for each ray ``[R, 3, 4]``.
    """

    appearance: Appearance
    cameras: Tensor
    image_from_ego: Tensor


def warp(points: Tensor, image_from_ego: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Project points ``[R, S, 3]`` with one camera ``[R, 3, 4]`` for each ray.

    Returns:
        Pixels ``[R, S, 2]`` and whether they lie in front of the camera and inside the image.
    """
    homogeneous = torch.einsum('rij,rsj->rsi', image_from_ego[:, :, :3], points)
    homogeneous = homogeneous + image_from_ego[:, None, :, 3]
    depth = homogeneous[..., 2]
    pixels = homogeneous[..., :2] / depth.clamp(min=0.1)[..., None]
    high = pixels.new_tensor([size[1] - 1.0, size[0] - 1.0])
    valid = (depth > 0.1) & (pixels >= 0).all(-1) & (pixels <= high).all(-1)
    return pixels, valid


class ProposalCosts(NamedTuple):
    """How well each depth proposal explains the video.

    Attributes:
        costs: Of the samples in the volume and of the proposals beyond it ``[R, S]``.
        valid: Whether any source image sees the proposal ``[R, S]``.
        identity: Cost ``[R]`` if nothing moved, for the auto-mask (Godard et al. 2019).
    """

    costs: Tensor
    valid: Tensor
    identity: Tensor


@torch.no_grad()
def proposal_costs(
    target: Target, pixels: Tensor, points: Tensor, sources: list[Source]
) -> ProposalCosts:
    """Judge depth proposals by the previous and the next image of the same camera.

    The better of the two counts: what one of them does not see, the other may.

    Args:
        target: What stands at the rays' own pixels.
        pixels: Those pixels ``[R, 2]``.
        points: Proposals ``[R, S, 3]`` in the ego frame.
        sources: Where they are looked for.
    """
    costs = torch.full((points.shape[0], points.shape[1] + 1), UNSEEN, device=points.device)
    for source in sources:
        warped, valid = warp(points, source.image_from_ego, source.appearance.size)
        places = torch.cat([warped, pixels[:, None]], 1)
        wanted = F.pad(valid, (0, 1), value=True)
        cost = dissimilarity(target, source.appearance, source.cameras, places, wanted)
        costs = torch.minimum(costs, cost)
    return ProposalCosts(costs[:, :-1], costs[:, :-1] < UNSEEN, costs[:, -1])


def rgb_loss(rendering: EdgeRendering, target: Tensor) -> Tensor:
    """Compare rendered colour with the pixels' own ``[R, 3]``.

    Only the share of a ray that ends in the volume is compared, so that the loss says where on
    the ray the surface is, not whether there is one.
    """
    hit = 1 - rendering.background
    color = rendering.color / hit.clamp(min=1e-3)[:, None]
    return ((color - target).abs().mean(1) * hit.detach()).mean()


def mvs_embedded_loss(weights: Tensor, background: Tensor, proposals: ProposalCosts) -> Tensor:
    """Return the expected cost under the rendering weights, over rays the video can judge.

    Args:
        weights: Of the samples ``[R, S]``.
        background: Of what lies beyond the volume ``[R]``.
        proposals: The ``S`` samples, then some proposals beyond the volume. The background's cost
            is the *mean* over those: their minimum would be biased low and empty the field.
    """
    ray = _judged(weights, background, proposals)
    return _mean_over(ray, proposals, (ray.weights * ray.costs).sum(1) / ray.share.clamp(min=1e-3))


def evidence_loss(
    weights: Tensor, background: Tensor, proposals: ProposalCosts, temperature: float
) -> Tensor:
    """Return ``c₀ - τ log(ε + Σ w exp(-(c - c₀)/τ) / Σ w)``: how unlikely the video is.

    The expected cost hardly moves weight to where there is none yet, such as to a car close by
    in what was free space: its gradient is as small as that weight. Here each proposal counts by
    how well it explains the video *and* by its weight, so that a much better explanation wins
    from next to nothing. The sums are over what the video can judge; ``ε``, 1e-3, bounds the cost
    of a ray whose best match is wrong. For large ``τ`` it tends to the expected cost,
    less ``τ log(1 + ε)``, which no weight changes.

    Args:
        weights: Of the samples ``[R, S]``.
        background: Of what lies beyond the volume ``[R]``, as in ``mvs_embedded_loss``.
        proposals: The ``S`` samples, then some proposals beyond the volume.
        temperature: ``τ``, by how much less cost a proposal becomes e times as likely. ``c₀`` is
            the least cost on the ray, of single proposals beyond the volume, too.
    """
    ray = _judged(weights, background, proposals)
    least = proposals.costs.amin(1)
    likelihood = ((least[:, None] - ray.costs) / temperature).exp()
    evidence = (ray.weights * likelihood).sum(1) / ray.share.clamp(min=1e-3)
    return _mean_over(ray, proposals, least - temperature * (evidence + _OUTLIER).log())


class _Judged(NamedTuple):
    """What the video can judge: the samples, and all that lies beyond the volume as one more.

    Attributes:
        weights: ``[R, S + 1]``, 0 of what no source sees.
        costs: ``[R, S + 1]``, 1e3 of what no source sees.
        share: Sum of the weights ``[R]``.
    """

    weights: Tensor
    costs: Tensor
    share: Tensor


def _judged(weights: Tensor, background: Tensor, proposals: ProposalCosts) -> _Judged:
    samples = weights.shape[1]
    near_valid, far_valid = proposals.valid[:, :samples], proposals.valid[:, samples:]
    count = far_valid.sum(1, keepdim=True)
    mean = (proposals.costs[:, samples:] * far_valid).sum(1, keepdim=True) / count.clamp(min=1)
    far_cost = mean.masked_fill(count == 0, UNSEEN)
    costs = torch.cat([proposals.costs[:, :samples], far_cost], 1)
    judged = torch.cat([weights * near_valid, background[:, None] * (count > 0)], 1)
    return _Judged(judged, costs, judged.sum(1))


def _mean_over(ray: _Judged, proposals: ProposalCosts, cost: Tensor) -> Tensor:
    """Average the rays that the video judges and that something explains better than rest."""
    explained = proposals.costs.amin(1) < proposals.identity
    keep = explained & (ray.share.detach() > _LEAST_JUDGED)
    return (cost * keep).sum() / keep.sum().clamp(min=1)
