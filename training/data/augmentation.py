"""Photometric augmentation of the network's input; supervision images stay as they are."""

from __future__ import annotations

import torch
from torch import Tensor


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation of RGB images ``[N, H, W, 3]`` uint8.

    All cameras of a set change alike, as with the weather; returns float in 0..255.
    """
    gain, saturation, bias = (
        float(torch.empty(()).uniform_(low, high, generator=generator))
        for low, high in ((0.8, 1.2), (0.7, 1.2), (-16.0, 16.0))
    )
    pixels = images.float() * gain + bias
    gray = pixels.mean(-1, keepdim=True)
    return (gray + saturation * (pixels - gray)).clamp(0, 255)
