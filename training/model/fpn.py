"""Feature pyramid (Lin et al. 2017; method section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class FeaturePyramid(nn.Module):
    """Carries what the deep stages know down to the fine ones.

        x_4 = lateral_4(c_4);  x_i = lateral_i(c_i) + up(x_{i+1});  p_i = conv3x3(x_i)

    Args:
        widths: Channels of the backbone's stages, finest first.
        channels: Channels of the output.
        levels: Levels of the output, finest first.
    """

    def __init__(self, widths: Sequence[int], channels: int, levels: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.output_convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(levels)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the finest levels, ``[N, channels, H/4, W/4]`` first."""
        laterals = [
            lateral(feature) for lateral, feature in zip(self.lateral_convs, features, strict=True)
        ]
        for i in range(len(laterals) - 1, 0, -1):
            size = laterals[i - 1].shape[-2:]
            laterals[i - 1] = laterals[i - 1] + F.interpolate(laterals[i], size=size)
        levels = zip(self.output_convs, laterals[: len(self.output_convs)], strict=True)
        return [conv(x) for conv, x in levels]
