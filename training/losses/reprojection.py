"""The plain reprojection loss on rendered depth, the baseline (Godard et al. 2019, Monodepth2)."""

from __future__ import annotations

import torch
from torch import Tensor

from training.losses.images import inside_image, on_lattice, read_pixels
from training.losses.photometric import NO_PROPOSAL, Source, Target, mean_seen, still_cost, warp
from training.losses.ssim import image_dissimilarity


def reprojection_loss(
    target: Target,
    depth: Tensor,
    sources: list[Source],
    *,
    automask: bool = True,
    parity: bool = False,
) -> Tensor:
    """Warp each ray once, with its rendered depth, and take the better source.

    ``mean_r min_k photo(I_k(π_k(r, d̂)), C)`` over rays that a source sees and, with the
    auto-mask, that no source explains better unmoved. Gradients flow through the warp: the slope
    of the image between two pixels says which way the depth should move, where the losses of
    ``photometric`` compare all depths of the ray.

    Args:
        target: The rays' own colours.
        depth: Rendered depth ``d̂ [N, P]`` in metres.
        sources: Previous and next images.
        automask: Leave out rays that a source explains better unmoved.
        parity: See ``read_pixels`` and ``inside_image``.
    """
    moved = torch.stack([_cost(target, depth, source, parity=parity) for source in sources])
    cost = moved.amin(0)
    counts = cost < NO_PROPOSAL
    if automask:
        still = [still_cost(target, source.images, parity=parity) for source in sources]
        counts &= cost < torch.stack(still).amin(0)
    return mean_seen(cost, counts)


def _cost(target: Target, depth: Tensor, source: Source, *, parity: bool) -> Tensor:
    """Return ``photo [N, P]`` of one source, 1e3 where it does not see the point."""
    pixels, source_depth = warp(target.pixels, depth[..., None], source)
    size = source.images.shape[-2], source.images.shape[-1]
    sees = ((source_depth > 0) & inside_image(pixels, size, parity=parity))[..., 0]
    # The border is continued: a neighbour that leaves the image must not blacken the structure.
    read = read_pixels(source.images, pixels, border=True, parity=parity)[..., 0]
    image = on_lattice(read, target.rows, target.columns)
    cost = image_dissimilarity(image, target.image).flatten(1)
    return cost.masked_fill(~sees, NO_PROPOSAL)
