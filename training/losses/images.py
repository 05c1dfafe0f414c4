"""Reading images at places between pixels, and what a lattice of rays makes of them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def read_pixels(
    images: Tensor, pixels: Tensor, *, border: bool = False, parity: bool = False
) -> Tensor:
    """Interpolate images bilinearly (method section 3, notation).

    Args:
        images: ``[N, C, H, W]``.
        pixels: Positions (u, v) in every image ``[N, ..., 2]``; pixel 0 has its centre at 0.
        border: Continue the border outside the image; otherwise it is 0 there.
        parity: The original scales by ``2u/W - 1`` and lets -1 and 1 be the centres of the outer
            pixels, so that it reads at ``u (W - 1)/W``.

    Returns:
        ``[N, C, ...]``.
    """
    height, width = images.shape[-2:]
    size = pixels.new_tensor([width, height])
    unit = 2 * (pixels if parity else pixels + 0.5) / size - 1
    padding = 'border' if border else 'zeros'
    read = F.grid_sample(
        images, unit.flatten(1, -2)[:, None], align_corners=parity, padding_mode=padding
    )
    return read.view(*images.shape[:2], *pixels.shape[1:-1])


def inside_image(pixels: Tensor, size: tuple[int, int], *, parity: bool = False) -> Tensor:
    """Return which pixels ``[..., 2]`` lie in an image of ``(height, width)``.

    Args:
        pixels: Positions (u, v).
        size: Height and width.
        parity: The original wants ``0 < u < W``; here it is ``0 ≤ u ≤ W - 1``, between the
            centres of the outer pixels, where nothing has to be made up.
    """
    far = pixels.new_tensor([size[1], size[0]])
    if parity:
        return ((pixels > 0) & (pixels < far)).all(-1)
    return ((pixels >= 0) & (pixels <= far - 1)).all(-1)


def on_lattice(values: Tensor, rows: int, columns: int) -> Tensor:
    """Arrange values ``[N, C, rows * columns]`` of rays as small images."""
    return values.view(*values.shape[:2], rows, columns)


def absolute_error(one: Tensor, other: Tensor) -> Tensor:
    """Return ``|a - b|₁``, the mean over the colours: ``[N, 3, ...]`` becomes ``[N, ...]``."""
    return (one - other).abs().mean(1)
