"""3x3x3 convolutions that a CPU runtime executes fast, too."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class VolumeConvolution(nn.Conv3d):
    """A padded 3x3x3 convolution of ``[1, C, Y, X, Z]``, exported as one in two dimensions.

    ONNX Runtime has blocked kernels for 2-D convolutions only: two to three times as fast. There
    each level z is an image, whose channels are those of the three levels around it.

    Args:
        channels: Of input and output.
        stride: Along y and x.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__(channels, channels, 3, stride=(stride, stride, 1), padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, C, Y', X', Z]``."""
        return self._by_level(x) if torch.compiler.is_exporting() else super().forward(x)

    def _by_level(self, x: Tensor) -> Tensor:
        levels = F.pad(x[0].permute(3, 0, 1, 2), (0, 0, 0, 0, 0, 0, 1, 1))
        around = torch.cat([levels[:-2], levels[1:-1], levels[2:]], 1)
        weight = self.weight.permute(0, 4, 1, 2, 3).flatten(1, 2)
        y = F.conv2d(around, weight, self.bias, self.stride[:2], padding=1)
        return y.permute(1, 2, 3, 0)[None]
