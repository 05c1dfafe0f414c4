"""The decoder: features of the volume to signed distance and colour (paper section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.model.tpv_encoder import node_axes
from training.presets import ModelConfig

FIELD_CHANNELS = 4  # signed distance, then colour


class SdfDecoder(nn.Module):
    """A few 3x3x3 convolutions, then a linear head at every node.

    The head predicts several field nodes for each feature node along z, where streets have their
    finest structure. The field starts as the ground plane z = 0.
    """

    ground: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.volume_channels
        self.subdivide_z = config.subdivide_z
        self.refinements = nn.ModuleList(
            nn.Conv3d(channels, channels, 3, padding=1) for _ in range(config.refinements)
        )
        self.head = nn.Conv3d(channels, FIELD_CHANNELS * config.subdivide_z, 1)
        torch.nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.head.weight, std=1e-2)
        heights = node_axes(config.grid.subdivided(config.subdivide_z))[2]
        ground = heights.clamp(max=config.ground_cap_m)
        self.register_buffer('ground', ground, persistent=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Decode features ``[C, Y, X, Z]``.

        Returns:
            Signed distance in metres ``[Y, X, Z']`` and colour ``[3, Y, X, Z']`` in 0..1, with
            ``Z' = (Z - 1) * subdivide_z + 1``.
        """
        x = features[None]
        for refinement in self.refinements:
            x = x + torch.relu(refinement(x))
        field = self._unfold_z(self.head(x)[0])
        return field[0] + self.ground, torch.sigmoid(field[1:])

    def _unfold_z(self, field: Tensor) -> Tensor:
        _, y, x, z = field.shape
        field = field.view(FIELD_CHANNELS, self.subdivide_z, y, x, z).permute(0, 2, 3, 4, 1)
        return field.flatten(3)[..., : (z - 1) * self.subdivide_z + 1]
