"""The plain reprojection loss for single random pixels (Godard et al. 2019, Monodepth2).

The baseline of ``proposals``: like ``reprojection``, but with the neighbourhoods that the small
presets compare pixels by. Each ray is warped once, with its rendered depth. Gradients flow
through the position that is read in the other image, where they know a pixel's neighbours only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.losses.matching import UNSEEN, Target, dissimilarity
from training.losses.proposals import Source, warp


def pixel_reprojection_loss(
    target: Target,
    pixels: Tensor,
    points: Tensor,
    sources: list[Source],
    *,
    automask: bool = True,
) -> Tensor:
    """Return the mean cost of the better source, over rays that a source sees.

    Args:
        target: What stands at the rays' own pixels.
        pixels: Those pixels ``[R, 2]``.
        points: What the rays meet at their rendered depth ``[R, 3]``, in the ego frame.
        sources: Where it is looked for.
        automask: Leave out rays that a source explains better unmoved.
    """
    costs, still = zip(*(_costs(target, pixels, points, s) for s in sources), strict=True)
    cost = torch.stack(costs).amin(0)
    counts = cost < UNSEEN
    if automask:
        counts &= cost < torch.stack(still).amin(0)
    return (cost * counts).sum() / counts.sum().clamp(min=1)


def _costs(
    target: Target, pixels: Tensor, points: Tensor, source: Source
) -> tuple[Tensor, Tensor]:
    """Return the cost ``[R]`` of the warped pixel (1e3 where not seen) and of the unmoved."""
    warped, valid = warp(points[:, None], source.image_from_ego, source.appearance.size)
    places = torch.cat([warped, pixels[:, None]], 1)
    moved, still = dissimilarity(target, source.appearance, source.cameras, places).unbind(1)
    return moved.masked_fill(~valid[:, 0], UNSEEN), still.detach()
