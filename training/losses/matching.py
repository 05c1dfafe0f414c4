"""How alike a pixel and places in another image are: for the small presets.

Colour alone mistakes one plain surface for another, and small neighbourhoods say little where
there is little texture. So neighbourhoods of several sizes are compared: at each scale nine
places around the pixel, of the grey image averaged over boxes as large as their distance, by
their correlation. ``benchmarks/limits.py`` measures how good the best match of a pixel is.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

L1_SHARE, STRUCTURE_SHARE = 0.5, 0.5
UNSEEN = 1e3
"""Cost of a place that is not compared."""

_PLACES = 9
_FLAT = 0.02  # norm of a neighbourhood's contrast below which its correlation fades out

# Optional: without numba the CPU takes the same way as other devices.
_HAS_KERNELS = find_spec('numba') is not None


class Appearance(NamedTuple):
    """Images of several cameras, prepared for comparison.

    Attributes:
        color: RGB in 0..1 ``[N, H, W, 3]``.
        gray: Grey values, averaged over the boxes of each scale ``[L, N, H, W]``.
        steps: Distance of the nine places of each scale in pixels, ``L`` rising powers of two.
    """

    color: Tensor
    gray: Tensor
    steps: tuple[int, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.color.shape[1], self.color.shape[2]


class Target(NamedTuple):
    """What is looked for.

    Attributes:
        color: RGB in 0..1 ``[R, 3]``.
        patches: Grey values of the nine places of each scale ``[R, L, 9]``, without their mean
            and divided by their norm, so that a dot product is a correlation.
    """

    color: Tensor
    patches: Tensor


def appearance_of(images: Tensor, steps: Sequence[int]) -> Appearance:
    """Prepare RGB images ``[N, 3, H, W]`` in 0..1 for scales of rising powers of two.

    Boxes of an even width have no pixel in the middle: theirs is half a pixel right of and below
    the pixel they stand at, in every image alike.
    """
    gray, side, levels = images.mean(1), 1, []
    for step in steps:
        while side < step:
            gray, side = _averaged(gray, side), 2 * side
        levels.append(gray)
    return Appearance(images.permute(0, 2, 3, 1).contiguous(), torch.stack(levels), tuple(steps))


def _averaged(gray: Tensor, step: int) -> Tensor:
    """Average four neighbours ``step`` apart: boxes ``step`` wide become twice as wide."""
    before, after = step // 2, step - step // 2
    padded = F.pad(gray[:, None], (before, after, before, after), mode='replicate')[:, 0]
    rows = padded[:, :-step] + padded[:, step:]
    return 0.25 * (rows[..., :-step] + rows[..., step:])


def target_of(appearance: Appearance, cameras: Tensor, pixels: Tensor) -> Target:
    """Read what stands at pixels ``[R, 2]`` (u, v) of the cameras ``[R]``."""
    color, patches = _read(appearance, cameras, pixels[:, None])
    return Target(color[:, 0], patches[:, 0])


def dissimilarity(
    target: Target,
    appearance: Appearance,
    cameras: Tensor,
    pixels: Tensor,
    wanted: Tensor | None = None,
) -> Tensor:
    """Compare each target with places in one image.

    ``½ L1 of the colours + ½ (1 - mean correlation) / 2``, from 0 to 1.

    Args:
        target: Of ``R`` rays.
        appearance: The other images.
        cameras: Which of them each ray looks into ``[R]``.
        pixels: Places ``[R, S, 2]``; gradients flow to them unless they are switched off.
        wanted: Which are compared ``[R, S]``; all by default.

    Returns:
        ``[R, S]``, 1e3 where nothing is compared.
    """
    if _HAS_KERNELS and pixels.device.type == 'cpu' and not torch.is_grad_enabled():
        from training.losses.matching_kernels import compare_all

        return compare_all(target, appearance, cameras, pixels, wanted)
    color, patches = _read(appearance, cameras, pixels)
    l1 = (color - target.color[:, None]).abs().mean(-1)
    correlation = (patches * target.patches[:, None]).sum(-1).mean(-1)
    cost = L1_SHARE * l1 + STRUCTURE_SHARE * 0.5 * (1 - correlation)
    return cost if wanted is None else cost.masked_fill(~wanted, UNSEEN)


def _read(appearance: Appearance, cameras: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return colour ``[R, S, 3]`` and normalised neighbourhoods ``[R, S, L, 9]``."""
    height, width = appearance.size
    last = pixels.new_tensor([width - 1, height - 1])
    pixels = torch.minimum(pixels.clamp(min=0), last)
    color = _bilinear(appearance.color, cameras, pixels)
    offsets = _neighbours().to(pixels)
    levels = []
    for gray, step in zip(appearance.gray, appearance.steps, strict=True):
        places = (pixels[:, :, None] + step * offsets).flatten(1, 2)
        values = _bilinear(gray[..., None], cameras, places).view(*pixels.shape[:2], _PLACES)
        contrast = values - values.mean(-1, keepdim=True)
        # The root of zero has no gradient.
        norm = contrast.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt()
        levels.append(contrast / (norm + _FLAT))
    return color, torch.stack(levels, 2)


def _neighbours() -> Tensor:
    """Return the nine places ``[9, 2]`` in units of the step, row by row."""
    v, u = torch.meshgrid(torch.arange(-1.0, 2), torch.arange(-1.0, 2), indexing='ij')
    return torch.stack([u, v], -1).view(_PLACES, 2)


def _bilinear(maps: Tensor, cameras: Tensor, pixels: Tensor) -> Tensor:
    """Read ``[N, H, W, C]`` at pixels ``[R, S, 2]`` of cameras ``[R]``: ``[R, S, C]``.

    Outside the image the border goes on.
    """
    _, height, width, _ = maps.shape
    u = pixels[..., 0].clamp(0, width - 1)
    v = pixels[..., 1].clamp(0, height - 1)
    # From below, too: as a whole number, what is no number may be any.
    left = u.detach().long().clamp(0, width - 2)
    top = v.detach().long().clamp(0, height - 2)
    a, b = (u - left)[..., None], (v - top)[..., None]
    camera = cameras[:, None]
    above = (1 - a) * maps[camera, top, left] + a * maps[camera, top, left + 1]
    below = (1 - a) * maps[camera, top + 1, left] + a * maps[camera, top + 1, left + 1]
    return (1 - b) * above + b * below
