"""Feature pyramid (Lin et al. 2017), with mmdetection's structure of parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class FeaturePyramid(nn.Module):
    """Carries what the deep stages know down to the fine ones.

    Args:
        widths: Channels of the backbone's stages, finest first.
        channels: Channels of the output.
    """

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.fpn_conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return the finest level ``[N, channels, H/4, W/4]``."""
        x = self.lateral_convs[-1](features[-1])
        for lateral, feature in zip(self.lateral_convs[-2::-1], features[-2::-1], strict=True):
            finer = lateral(feature)
            x = finer + F.interpolate(x, size=finer.shape[-2:], mode='nearest')
        return self.fpn_conv(x)  # type: ignore[no-any-return]
