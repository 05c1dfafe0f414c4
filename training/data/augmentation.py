"""Photometric augmentation of the network's input (method section 2.1).

Supervising images stay as they are.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE_DEG = 32.0, (0.8, 1.2), (0.8, 1.2), 18.0


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change the colours of RGB images ``[N, H, W, 3]`` uint8, each in its own way.

    Each with a probability of one half: brightness by up to ±32 of 255; contrast by a factor of
    0.8 to 1.2, before or after the next two; saturation by a factor of 0.8 to 1.2; hue by up to
    ±18 degrees.

    Returns:
        Float in 0..255.
    """
    draws = torch.rand(len(images), 9, generator=generator).tolist()
    distorted = [_distort(image, *draw) for image, draw in zip(images.numpy(), draws, strict=True)]
    return torch.from_numpy(np.stack(distorted))


def _distort(
    image: NDArray[np.uint8],
    brightness: float, has_brightness: float,
    contrast: float, has_contrast: float, contrast_first: float,
    saturation: float, has_saturation: float,
    hue: float, has_hue: float,
) -> NDArray[np.float32]:  # fmt: skip
    """Distort one image by nine draws that are uniform in 0..1."""
    pixels = image.astype(np.float32)
    factor = _between(_CONTRAST, contrast) if has_contrast < 0.5 else 1.0
    if has_brightness < 0.5:
        pixels += _between((-_BRIGHTNESS, _BRIGHTNESS), brightness)
    if contrast_first < 0.5:
        pixels *= factor
    hsv = cv2.cvtColor(np.clip(pixels, 0, 255) / 255, cv2.COLOR_RGB2HSV)  # hue in degrees
    if has_saturation < 0.5:
        hsv[..., 1] = np.minimum(hsv[..., 1] * _between(_SATURATION, saturation), 1)
    if has_hue < 0.5:
        hsv[..., 0] = (hsv[..., 0] + _between((-_HUE_DEG, _HUE_DEG), hue)) % 360
    pixels = 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if contrast_first >= 0.5:
        pixels *= factor
    distorted: NDArray[np.float32] = np.clip(pixels, 0, 255)
    return distorted


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * share
