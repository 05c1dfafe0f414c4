"""Volume rendering of the paper: bins in the volume's box, NeuS weights (method section 2.6).

The small presets for a CPU render with ``edge_render`` instead: random pixels, few samples whose
spacing grows with the distance, and a background beyond the volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training.field import Field
from training.rendering.bins import Bins
from training.rendering.color import color_of
from training.rendering.density import density_weights
from training.rendering.rays import Rays
from training.rendering.sampling import sample_volume
from training.rendering.weights import BinWeights, neus_weights


@dataclass(frozen=True)
class Rendering:
    """What rays meet. Distances are Euclidean from the origin, depths along the optical axis."""

    rays: Rays
    """The rays ``[R]``."""
    bins: Bins
    """Their bins ``[R, S]``."""
    sdf: Tensor
    """Channel 0 at the samples ``[R, S]``, in metres."""
    gradient: Tensor | None
    """Gradient of the distance at the samples ``[3, R, S]``; None of a density."""
    alpha: Tensor
    """Opacity of the bins ``[R, S]``."""
    weights: Tensor
    """Weights of the bins ``[R, S]``."""
    accumulation: Tensor
    """``Σ w [R]``: how much of the ray ends in the volume."""
    distance: Tensor
    """Expected distance ``[R]`` in metres."""
    color: Tensor | None
    """``[R, 3]``; None of a field without colour. Clamp it to 0..1 to show it."""
    semantics: Tensor | None
    """``Σ w softmax(logits) [R, classes]``; None of a field without semantics."""

    @property
    def depth(self) -> Tensor:
        """Depth along the optical axis ``[R]`` in metres: distance over ``‖d‖``."""
        return self.distance / self.rays.lengths()[:, 0]

    @property
    def sample_depths(self) -> Tensor:
        """Depth of the middles of the bins ``[R, S]`` in metres."""
        return self.bins.middles / self.rays.lengths()

    @property
    def max_depth(self) -> Tensor:
        """Depth ``[R]`` of the bin in which the weight is densest, ``argmax w/Δ``."""
        densest = (self.weights / self.bins.widths).argmax(1, keepdim=True)
        return self.sample_depths.gather(1, densest)[:, 0]

    def normals(self) -> Tensor:
        """Return ``Σ w g/‖g‖`` at unit length ``[R, 3]``, to look at."""
        if self.gradient is None:
            raise ValueError('a density has no normals')
        directions = F.normalize(self.gradient.detach(), dim=0)
        return F.normalize(torch.einsum('crs,rs->rc', directions, self.weights.detach()), dim=1)


def render(
    field: Field,
    gradient: Tensor | None,
    rays: Rays,
    bins: Bins,
    sharpness: Tensor,
    *,
    anneal: float = 1.0,
    background: Tensor | None = None,
    chunk_rays: int | None = None,
    parity: bool = False,
) -> Rendering:
    """Render rays through a field.

    Weights ``w`` by ``neus_weights``; distance ``Σ w t_mid + (1 - Σ w) t_far``: what does not end
    in the volume counts as leaving it; colour ``Σ w c + (1 - Σ w) b``; semantics
    ``Σ w softmax(l)``, normalised at each sample and without background.

    Args:
        field: Distance, colour and semantics.
        gradient: Gradient volume of the distance ``[3, Y, X, Z]``; None renders channel 0 as a
            density.
        rays: ``[R]`` rays.
        bins: Their bins ``[R, S]``.
        sharpness: ``inv_s`` in 1/m.
        anneal: See ``neus_weights``.
        background: Colour ``b [R, 3]``; None is black. The method draws a new one for every
            ray, so that only what ends in the volume can explain a colour.
        chunk_rays: How many rays are sampled at a time; in training each chunk is sampled again
            in the backward pass instead of being kept.
        parity: The original samples distance, gradient, colour and semantics at the start of each
            bin but places them at its middle, a bias of half a bin; here all of it happens at the
            middle. Its distance is ``Σ w t_mid / Σ w`` in the range of all rays, which says
            nothing of rays that meet nothing. See also ``neus_weights``.
    """
    volume = _channels_together(field.volume, gradient)
    settings = _Settings(field, gradient is not None, anneal, parity)
    compose = _composite if chunk_rays is None else _recomputed_composite
    parts = [
        compose(settings, volume, Rays(*ray), Bins(*edges), sharpness)
        for ray, edges in zip(_split(rays, chunk_rays), _split(bins, chunk_rays), strict=True)
    ]
    whole = _join(parts)
    accumulation = whole.weights.sum(1)
    return Rendering(
        rays,
        bins,
        whole.sdf,
        whole.gradient,
        whole.alpha,
        whole.weights,
        accumulation,
        _expected_distance(whole.weights, accumulation, bins, parity=parity),
        _over(whole.color, accumulation, background),
        whole.semantics,
    )


def _channels_together(volume: Tensor, gradient: Tensor | None) -> Tensor:
    """Return volume and gradient in one, the channels of a node side by side in memory."""
    parts = [volume] if gradient is None else [volume, gradient]
    nodes = torch.cat([part.permute(1, 2, 3, 0) for part in parts], -1)
    return nodes.permute(3, 0, 1, 2)


class _Settings(NamedTuple):
    field: Field
    has_gradient: bool
    anneal: float
    parity: bool


class _Composite(NamedTuple):
    sdf: Tensor
    gradient: Tensor | None
    alpha: Tensor
    weights: Tensor
    color: Tensor | None
    semantics: Tensor | None


def _recomputed_composite(
    settings: _Settings, volume: Tensor, rays: Rays, bins: Bins, sharpness: Tensor
) -> _Composite:
    """Render some rays without keeping their samples for the backward pass."""
    result: _Composite = checkpoint(
        _composite, settings, volume, rays, bins, sharpness, use_reentrant=False
    )
    return result


def _composite(
    settings: _Settings, volume: Tensor, rays: Rays, bins: Bins, sharpness: Tensor
) -> _Composite:
    """Sample all channels of the volume at once and sum them with their weights."""
    field, parity = settings.field, settings.parity
    places = bins.starts if parity else bins.middles
    samples = sample_volume(volume, rays.at(places), field.grid, parity=parity)
    sdf, color, semantics, gradient = _channels(samples, settings)
    alpha, weights = _weights(settings, sdf, gradient, rays, bins, sharpness)
    return _Composite(
        sdf,
        gradient,
        alpha,
        weights,
        None if color is None else torch.einsum('crs,rs->rc', color_of(color), weights),
        None if semantics is None else torch.einsum('crs,rs->rc', semantics.softmax(0), weights),
    )


def _channels(
    samples: Tensor, settings: _Settings
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Split samples ``[1 + C + 3, R, S]`` into distance, colour, semantics and gradient."""
    colors = settings.field.color_channels
    slopes = 3 if settings.has_gradient else 0
    classes = len(samples) - 1 - colors - slopes
    sdf, color, semantics, gradient = torch.split(samples, [1, colors, classes, slopes])
    return (
        sdf[0],
        color if colors else None,
        semantics if classes else None,
        gradient if slopes else None,
    )


def _weights(
    settings: _Settings,
    sdf: Tensor,
    gradient: Tensor | None,
    rays: Rays,
    bins: Bins,
    sharpness: Tensor,
) -> BinWeights:
    if gradient is None:
        return density_weights(sdf, bins.widths, sharpness)
    cosine = torch.einsum('crs,rc->rs', gradient, rays.unit_directions())
    return neus_weights(
        sdf, cosine, bins.widths, sharpness, anneal=settings.anneal, parity=settings.parity
    )


def _expected_distance(
    weights: Tensor, accumulation: Tensor, bins: Bins, *, parity: bool
) -> Tensor:
    middles = bins.middles
    distance = (weights * middles).sum(1)
    if parity:
        return (distance / (accumulation + 1e-10)).clamp(middles.min(), middles.max())
    return distance + (1 - accumulation) * bins.ends[:, -1]


def _over(color: Tensor | None, accumulation: Tensor, background: Tensor | None) -> Tensor | None:
    if color is None or background is None:
        return color
    return color + (1 - accumulation)[:, None] * background


def _split(tensors: tuple[Tensor, ...], size: int | None) -> list[tuple[Tensor, ...]]:
    if size is None:
        return [tensors]
    return list(zip(*(torch.split(tensor, size) for tensor in tensors), strict=True))


def _join(parts: list[_Composite]) -> _Composite:
    def join(name: str, dimension: int = 0) -> Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        return None if tensors[0] is None else torch.cat(tensors, dimension)

    if len(parts) == 1:
        return parts[0]
    return _Composite(
        torch.cat([part.sdf for part in parts]),
        join('gradient', 1),
        torch.cat([part.alpha for part in parts]),
        torch.cat([part.weights for part in parts]),
        join('color'),
        join('semantics'),
    )
