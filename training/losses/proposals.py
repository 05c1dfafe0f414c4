"""MVS-embedded photometric loss of the small presets (after paper section 3.3).

Like ``photometric``, but for single random pixels rather than a lattice: the structural part
compares 3x3 neighbourhoods of full-resolution images, at every sample, and proposals beyond the
volume compete with those in it.

Not the rendered depth is warped but every sample of the ray: each sample proposes a depth, the
images judge it, and the rendering weights are moved to the proposals that explain the video.
Sample depths are constants; gradients reach the field only through the weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.rendering.edge_render import EdgeRendering

L1_SHARE, STRUCTURE_SHARE = 2.0, 0.5
INVALID = 1e3


class Descriptor(NamedTuple):
    """What pixels are compared by.

    Attributes:
        maps: ``[N, 12, H, W]``: colour in 0..1, then the 3x3 neighbourhood of the grey value
            with mean and norm removed, so that a dot product is their correlation.
    """

    maps: Tensor


def describe(images: Tensor) -> Descriptor:
    """Return descriptors of RGB images ``[N, 3, H, W]`` in 0..1."""
    gray = images.mean(1, keepdim=True)
    count, _, height, width = images.shape
    patches = F.unfold(F.pad(gray, (1, 1, 1, 1), mode='replicate'), 3).view(
        count, 9, height, width
    )
    patches = patches - patches.mean(1, keepdim=True)
    patches = patches / (patches.square().sum(1, keepdim=True).sqrt() + 0.02)
    return Descriptor(torch.cat([images, patches], 1))


def look_up(descriptor: Descriptor, images: Tensor, pixels: Tensor) -> Tensor:
    """Read descriptors bilinearly.

    Args:
        descriptor: Of the images.
        images: Which image each ray looks into ``[R]``.
        pixels: Positions ``[R, S, 2]``.

    Returns:
        ``[R, S, 12]``.
    """
    _, channels, height, width = descriptor.maps.shape
    result = pixels.new_zeros(*pixels.shape[:2], channels)
    size = torch.tensor([width, height], dtype=pixels.dtype)
    for image in range(len(descriptor.maps)):
        (rays,) = torch.nonzero(images == image, as_tuple=True)
        grid = 2 * (pixels[rays] + 0.5) / size - 1
        sampled = F.grid_sample(
            descriptor.maps[image, None], grid[None], align_corners=False, padding_mode='border'
        )
        result[rays] = sampled[0].permute(1, 2, 0)
    return result


def dissimilarity(target: Tensor, source: Tensor) -> Tensor:
    """Compare descriptors ``[..., 12]``: absolute colour difference and correlation."""
    l1 = (target[..., :3] - source[..., :3]).abs().mean(-1)
    correlation = (target[..., 3:] * source[..., 3:]).sum(-1)
    return L1_SHARE * l1 + STRUCTURE_SHARE * 0.5 * (1 - correlation)


def warp(points: Tensor, source_from_ego: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Project points ``[R, S, 3]`` with one camera ``[R, 3, 4]`` for each ray.

    Returns:
        Pixels ``[R, S, 2]`` and whether they lie in front of the camera and inside the image.
    """
    homogeneous = torch.einsum('rij,rsj->rsi', source_from_ego[:, :, :3], points)
    homogeneous = homogeneous + source_from_ego[:, None, :, 3]
    depth = homogeneous[..., 2]
    pixels = homogeneous[..., :2] / depth.clamp(min=0.1)[..., None]
    high = torch.tensor([size[1] - 1.0, size[0] - 1.0])
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
    target: Tensor,
    pixels: Tensor,
    points: Tensor,
    sources: list[tuple[Descriptor, Tensor, Tensor]],
) -> ProposalCosts:
    """Judge depth proposals by the previous and the next image of the same camera.

    The better of the two counts: what one of them does not see, the other may.

    Args:
        target: Descriptors of the rays' own pixels ``[R, 12]``.
        pixels: Those pixels ``[R, 2]``.
        points: Proposals ``[R, S, 3]`` in the ego frame.
        sources: For each source its descriptors, the image index of each ray ``[R]`` and its
            camera ``source_from_ego`` ``[R, 3, 4]``.
    """
    costs = torch.full(points.shape[:2], INVALID)
    identity = torch.full(points.shape[:1], INVALID)
    for descriptor, images, source_from_ego in sources:
        size = descriptor.maps.shape[-2], descriptor.maps.shape[-1]
        warped, valid = warp(points, source_from_ego, size)
        seen = look_up(descriptor, images, torch.cat([warped, pixels[:, None]], 1))
        cost = dissimilarity(target[:, None], seen)
        costs = torch.minimum(costs, cost[:, :-1].masked_fill(~valid, INVALID))
        identity = torch.minimum(identity, cost[:, -1])
    return ProposalCosts(costs, costs < INVALID, identity)


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
    samples = weights.shape[1]
    near, far = proposals.costs[:, :samples], proposals.costs[:, samples:]
    near_valid, far_valid = proposals.valid[:, :samples], proposals.valid[:, samples:]
    far_count = far_valid.sum(1)
    far_cost = (far * far_valid).sum(1) / far_count.clamp(min=1)
    near_weights, far_weights = weights * near_valid, background * (far_count > 0)
    judged = near_weights.sum(1) + far_weights
    expected = (near_weights * near).masked_fill(~near_valid, 0).sum(1) + far_weights * far_cost
    explained = proposals.costs.amin(1) < proposals.identity
    keep = explained & (judged.detach() > 0.3)
    expected = expected / judged.clamp(min=1e-3)
    return (expected * keep).sum() / keep.sum().clamp(min=1)
