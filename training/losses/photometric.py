"""MVS-embedded photometric losses (method section 3.1 and 3.2; paper section 3.3).

Not the rendered depth is warped but every sample of a ray: each one proposes a depth, the
neighbouring images judge it, and the rendering weights are moved to the proposals that explain
the video. Depths are constants; gradients reach the field through the weights only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.losses.images import absolute_error, inside_image, on_lattice, read_pixels
from training.losses.ssim import L1_SHARE, SSIM_SHARE, image_dissimilarity, ssim_dissimilarity

NO_PROPOSAL = 1e3
"""Cost of a ray none of whose samples is seen: the auto-mask, where there is one, wins."""


class Source(NamedTuple):
    """An image that judges the anchor's rays, of each of N cameras.

    Attributes:
        images: ``[N, 3, H, W]`` in 0..1.
        source_from_anchor: ``[N, 4, 4]``: takes ``(u z, v z, z, 1)`` of an anchor image to the
            same of the source image.
    """

    images: Tensor
    source_from_anchor: Tensor


class Target(NamedTuple):
    """The anchor's own view of a lattice of rays.

    Attributes:
        pixels: ``[P, 2]``, the same in every camera, row by row.
        colors: ``C [N, 3, P]``.
        rows: Of the lattice; ``P = rows * columns``.
        columns: Of the lattice.
    """

    pixels: Tensor
    colors: Tensor
    rows: int
    columns: int

    @property
    def image(self) -> Tensor:
        """The colours as a small image ``[N, 3, rows, columns]``."""
        return on_lattice(self.colors, self.rows, self.columns)


def read_target(
    images: Tensor, pixels: Tensor, rows: int, columns: int, *, parity: bool = False
) -> Target:
    """Read the anchor images ``[N, 3, H, W]`` at the pixels ``[P, 2]`` of a lattice."""
    places = pixels.expand(len(images), -1, -1)
    return Target(pixels, read_pixels(images, places, parity=parity), rows, columns)


class Proposals(NamedTuple):
    """How the depths that samples propose explain the anchor.

    Attributes:
        errors: Colour error ``e [N, P, S]``, 0 where not seen.
        colors: Colour ``b [N, 3, P, S]`` in the source, 0 where not seen.
        seen: Whether any source sees the sample ``[N, P, S]``.
    """

    errors: Tensor
    colors: Tensor
    seen: Tensor


def warp(pixels: Tensor, depths: Tensor, source: Source) -> tuple[Tensor, Tensor]:
    """Move pixels ``[P, 2]`` at depths ``[N, P, S]`` to a source image.

    ``(u' z', v' z', z', 1) = M (u z, v z, z, 1)``.

    Returns:
        Pixels ``[N, P, S, 2]`` and their depth ``z' [N, P, S]``.
    """
    matrix = source.source_from_anchor
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1)
    directions = torch.einsum('nij,pj->nip', matrix[:, :3, :3], homogeneous)
    moved = directions[..., None] * depths[:, None] + matrix[:, :3, 3, None, None]
    depth = moved[:, 2]
    return (moved[:, :2] / depth.clamp(min=1e-6)[:, None]).movedim(1, -1), depth


@torch.no_grad()
def propose(
    target: Target, depths: Tensor, sources: list[Source], *, parity: bool = False
) -> Proposals:
    """Look up every sample of every ray in the sources.

    With ``M_k = 1`` where source k sees the sample and ``cnt = Σ_k M_k``, the colour is
    ``b = Σ_k M_k I_k(π_k(z)) / max(cnt, 1)`` and the error ``Σ_k M_k |I_k - C|₁ / max(cnt, 1)``.

    Args:
        target: The rays' own colours, of ``P`` rays in ``N`` cameras.
        depths: Of the samples ``[N, P, S]``.
        sources: One, or several whose answers are averaged.
        parity: See ``read_pixels`` and ``inside_image``.
    """
    count = torch.zeros_like(depths)
    errors = torch.zeros_like(depths)
    colors = depths.new_zeros(len(depths), 3, *depths.shape[1:])
    for source in sources:
        pixels, source_depth = warp(target.pixels, depths, source)
        size = source.images.shape[-2], source.images.shape[-1]
        sees = (source_depth > 0) & inside_image(pixels, size, parity=parity)
        read = read_pixels(source.images, pixels, parity=parity)
        errors += sees * absolute_error(read, target.colors[..., None])
        colors += sees[:, None] * read
        count += sees
    share = 1 / count.clamp(min=1)
    return Proposals(errors * share, colors * share[:, None], count > 0)


def expected_cost(
    proposals: Proposals, weights: Tensor, target: Target, *, parity: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the cost of proposals under the rendering weights.

    ``ℓ = 0.15 Σ w̃ e + 0.85 D(Σ w̃ b, C)`` with ``w̃ = w [seen] / Σ w [seen]``. Only the first part
    judges samples one by one; the structure is that of the expected colours on the lattice.

    Args:
        proposals: ``[N, P, S]``.
        weights: Of the samples ``w [N, P, S]``.
        target: The rays' own colours.
        parity: The original's opacities are at least 1e-5, so that a ray that meets nothing takes
            the mean of what it sees. Here weights may be 0, and 1e-5 is added to them.

    Returns:
        ``ℓ [N, P]``, and whether any sample of the ray is seen ``[N, P]``.
    """
    seen_weights = (weights if parity else weights + 1e-5) * proposals.seen
    share = seen_weights / seen_weights.sum(-1, keepdim=True).clamp(min=1e-10)
    error = (share * proposals.errors).sum(-1)
    color = torch.einsum('nps,ncps->ncp', share, proposals.colors)
    image = on_lattice(color, target.rows, target.columns)
    structure = ssim_dissimilarity(image, target.image).flatten(1)
    return L1_SHARE * error + SSIM_SHARE * structure, proposals.seen.any(-1)


def combined_loss(
    target: Target,
    depths: Tensor,
    weights: Tensor,
    sources: list[Source],
    *,
    automask: bool = True,
    parity: bool = False,
) -> Tensor:
    """Return the photometric loss of surround cameras (method section 3.2).

    ``mean_r min(ℓ, photo(I_prev(u,v), C), photo(I_next(u,v), C))``: the sources are averaged at
    each sample that they see, and a ray with no sample seen costs 1e3.

    Args:
        target: The rays' own colours.
        depths: Of the samples ``[N, P, S]`` in metres.
        weights: Of the samples ``[N, P, S]``.
        sources: Previous and next images.
        automask: Also compare with what the sources show at the pixel itself (Monodepth2), so that
            what explains the anchor best without any motion is left out. Without it, ``mean_r ℓ``.
        parity: See ``read_pixels``. Without the auto-mask, the original also averages the rays
            with no sample seen, as if they were black; here they are left out.
    """
    proposals = propose(target, depths, sources, parity=parity)
    cost, seen = expected_cost(proposals, weights, target, parity=parity)
    if automask:
        return _least([cost.masked_fill(~seen, NO_PROPOSAL)], target, sources, parity=parity)
    return cost.mean() if parity else mean_seen(cost, seen)


def separate_loss(
    target: Target,
    depths: Tensor,
    weights: Tensor,
    sources: list[Source],
    *,
    automask: bool = True,
    parity: bool = False,
) -> Tensor:
    """Return the photometric loss of a single camera (method section 3.1).

    ``mean_r min(L_prev, L_next, photo(I_prev(u,v), C), photo(I_next(u,v), C))``, where ``L_k`` is
    ``ℓ`` with the one source k: the better source judges the whole ray.

    Args:
        target: The rays' own colours.
        depths: Of the samples ``[N, P, S]`` in metres.
        weights: Of the samples ``[N, P, S]``.
        sources: Previous and next images.
        automask: See ``combined_loss``. Without it, ``mean_r min(L_prev, L_next)``.
        parity: See ``read_pixels``. Without the auto-mask, the original counts rays that no source
            sees with 1e3; here they are left out.
    """
    costs, seen = [], []
    for source in sources:
        proposals = propose(target, depths, [source], parity=parity)
        cost, source_sees = expected_cost(proposals, weights, target, parity=parity)
        costs.append(cost.masked_fill(~source_sees, NO_PROPOSAL))
        seen.append(source_sees)
    if automask:
        return _least(costs, target, sources, parity=parity)
    least = torch.stack(costs).amin(0)
    return least.mean() if parity else mean_seen(least, torch.stack(seen).any(0))


def _least(costs: list[Tensor], target: Target, sources: list[Source], *, parity: bool) -> Tensor:
    """Return the mean over rays of the least cost, costs of no motion included."""
    still = [still_cost(target, source.images, parity=parity) for source in sources]
    return torch.stack([*costs, *still]).amin(0).mean()


@torch.no_grad()
def still_cost(target: Target, images: Tensor, *, parity: bool = False) -> Tensor:
    """Return ``photo(I(u,v), C) [N, P]``: what a source costs if nothing moved."""
    unmoved = read_target(images, target.pixels, target.rows, target.columns, parity=parity)
    return image_dissimilarity(unmoved.image, target.image).flatten(1)


def mean_seen(cost: Tensor, seen: Tensor) -> Tensor:
    """Return the mean of costs ``[N, P]`` over the rays that are seen, 0 if none is."""
    return (cost * seen).sum() / seen.sum().clamp(min=1)
