"""Compiled comparison of pixels with places in other images, for the CPU.

The same as ``matching``, place by place, without storing what is read.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from training.jit import compiled_fast
from training.threads import run_in_threads

if TYPE_CHECKING:
    from training.losses.matching import Appearance, Target

_PARTS_PER_THREAD = 8


def compare_all(
    target: Target,
    appearance: Appearance,
    cameras: Tensor,
    pixels: Tensor,
    wanted: Tensor | None,
) -> Tensor:
    """Return the cost ``[R, S]`` as ``matching.dissimilarity`` does, without gradients.

    Raises:
        IndexError: There is no such camera.
        ValueError: The arguments are of different numbers of rays, scales or places.
    """
    from training.losses.matching import L1_SHARE, STRUCTURE_SHARE, UNSEEN

    _check(target, appearance, cameras, pixels, wanted)
    costs = torch.full(pixels.shape[:2], UNSEEN)
    wanted = torch.ones(pixels.shape[:2], dtype=torch.bool) if wanted is None else wanted
    arrays = (
        *(x.contiguous().numpy() for x in (*target, appearance.color, appearance.gray)),
        np.array(appearance.steps),
        *(x.contiguous().numpy() for x in (cameras, pixels, wanted)),
        np.float32(L1_SHARE / 3),
        np.float32(STRUCTURE_SHARE / 2),
        costs.numpy(),
    )
    parts = min(_PARTS_PER_THREAD * torch.get_num_threads(), max(len(pixels), 1))
    bounds = [int(bound) for bound in np.linspace(0, len(pixels), parts + 1)]
    run_in_threads(_compare, [(*arrays, *part) for part in itertools.pairwise(bounds)])
    return costs


def _check(
    target: Target,
    appearance: Appearance,
    cameras: Tensor,
    pixels: Tensor,
    wanted: Tensor | None,
) -> None:
    """Refuse what the loops would read outside of arrays for."""
    rays, scales = len(pixels), len(appearance.steps)
    fits = (
        len(target.color) == len(cameras) == rays
        and target.patches.shape[:2] == (rays, scales)
        and appearance.gray.shape[:2] == (scales, len(appearance.color))
        and (wanted is None or wanted.shape == pixels.shape[:2])
    )
    if not fits:
        raise ValueError('target, images and places are not of the same rays and scales')
    if rays and not 0 <= int(cameras.min()) <= int(cameras.max()) < len(appearance.color):
        raise IndexError(f'a ray looks into an image that is none of {len(appearance.color)}')


@compiled_fast
def _compare(
    target_color: Any,
    target_patches: Any,
    color: Any,
    gray: Any,
    steps: Any,
    cameras: Any,
    pixels: Any,
    wanted: Any,
    l1_scale: Any,
    structure_scale: Any,
    costs: Any,
    first: int,
    last: int,
) -> None:
    """Write the costs of the rays ``first`` to ``last``."""
    one, zero = np.float32(1), np.float32(0)
    per_scale = one / np.float32(len(steps))
    height, width = color.shape[1], color.shape[2]
    shares, patch = np.empty(4, np.float32), np.empty(9, np.float32)
    for ray in range(first, last):
        camera = cameras[ray]
        for sample in range(pixels.shape[1]):
            if not wanted[ray, sample]:
                continue
            left = _left(pixels[ray, sample, 0], width, 0, shares)
            top = _left(pixels[ray, sample, 1], height, 2, shares)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            l1 = zero
            for k in range(3):
                above = shares[0] * color[camera, top, left, k]
                above += shares[1] * color[camera, top, right, k]
                below = shares[0] * color[camera, bottom, left, k]
                below += shares[1] * color[camera, bottom, right, k]
                l1 += abs(shares[2] * above + shares[3] * below - target_color[ray, k])
            correlation = zero
            for scale in range(len(steps)):
                _read_patch(gray[scale, camera], steps[scale], left, top, shares, patch)
                for k in range(9):
                    correlation += patch[k] * target_patches[ray, scale, k]
            structure = one - correlation * per_scale
            costs[ray, sample] = l1_scale * l1 + structure_scale * structure


@compiled_fast
def _left(place: Any, length: int, axis: int, shares: Any) -> int:
    """Return the pixel before a place in the image, and the shares of it and the next one."""
    place = min(place, np.float32(length - 1)) if place > 0 else np.float32(0)
    before = int(place)
    shares[axis + 1] = place - np.float32(before)
    shares[axis] = np.float32(1) - shares[axis + 1]
    return before


@compiled_fast
def _read_patch(image: Any, step: int, left: int, top: int, shares: Any, patch: Any) -> None:
    """Read the nine places around a pixel, without their mean, divided by their norm.

    They are whole pixels apart, so that all have the same shares.
    """
    height, width = image.shape
    mean = np.float32(0)
    for row in range(3):
        v = top + step * (row - 1)
        upper = image[min(max(v, 0), height - 1)]
        lower = image[min(max(v + 1, 0), height - 1)]
        for column in range(3):
            u = left + step * (column - 1)
            u0, u1 = min(max(u, 0), width - 1), min(max(u + 1, 0), width - 1)
            above = shares[0] * upper[u0] + shares[1] * upper[u1]
            below = shares[0] * lower[u0] + shares[1] * lower[u1]
            value = shares[2] * above + shares[3] * below
            patch[3 * row + column] = value
            mean += value
    mean /= np.float32(9)
    norm = np.float32(0)
    for k in range(9):
        patch[k] -= mean
        norm += patch[k] * patch[k]
    scale = np.float32(1) / (np.sqrt(norm) + np.float32(0.02))
    for k in range(9):
        patch[k] *= scale
