"""3x3x3 convolutions of the volume."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VolumeConvolution(nn.Conv3d):
    """A padded 3x3x3 convolution and ReLU.

    Args:
        channels: Of input and output.
        stride: Along y and x.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__(channels, channels, 3, stride=(stride, stride, 1), padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, Y, X, Z]`` to ``[B, C, Y', X', Z]``."""
        return torch.relu(super().forward(x))
