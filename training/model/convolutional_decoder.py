"""Our decoder for small networks: 3x3x3 convolutions over plane and lifted features.

Not in the paper, and not compared with the method's MLP at this size yet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.decoder import field_channels, node_features


class ConvolutionalDecoder(nn.Module):
    """A few convolutions, then a linear head at every node.

    Features at the nodes are the sum of those of three planes. In the bird's eye view the top
    plane gives the features of a whole column at once, as its variant of the MLP does.

    The head predicts several field nodes for each feature node along z, where streets have their
    finest structure. The field starts as the ground plane z = 0, capped above.
    """

    ground: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        decoder = config.decoder
        channels = decoder.volume_channels
        self.subdivide_z, self.channels = decoder.subdivide_z, field_channels(config)
        self.heights = config.grid.z.nodes if config.encoder.view == 'bev' else 1
        self.plane_proj = nn.Linear(config.encoder.dim, channels * self.heights)
        self.refinements = nn.ModuleList(
            nn.Conv3d(channels, channels, 3, padding=1) for _ in range(decoder.refinements)
        )
        self.head = nn.Conv3d(channels, self.channels * decoder.subdivide_z, 1)
        torch.nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.head.weight, std=1e-2)
        heights = config.grid.z.subdivided(decoder.subdivide_z).node_coordinates()
        ground = (heights + config.frame.origin_m[2]).clamp(max=decoder.ground_cap_m)
        self.register_buffer('ground', ground, persistent=False)

    def forward(self, planes: Sequence[Tensor], lifted: Tensor | None = None) -> Tensor:
        """Decode.

        Args:
            planes: Top, side and front plane, or the top plane, ``[B, rows, columns, D]``.
            lifted: More features at the nodes ``[B, C, Y, X, Z]``.

        Returns:
            ``[B, 1 + C, Y, X, Z']`` with ``Z' = (Z - 1) * subdivide_z + 1``.
        """
        features = self._node_features(planes)
        x = torch.relu(features if lifted is None else features + lifted)
        for refinement in self.refinements:
            x = x + torch.relu(refinement(x))
        field = self._unfold_z(self.head(x))
        return torch.cat([field[:, :1] + self.ground, field[:, 1:]], 1)

    def _node_features(self, planes: Sequence[Tensor]) -> Tensor:
        """Return features at the nodes ``[B, C, Y, X, Z]``."""
        if len(planes) == 1:
            columns: Tensor = self.plane_proj(planes[0]).unflatten(-1, (-1, self.heights))
            return columns.permute(0, 3, 1, 2, 4)
        features: Tensor = self.plane_proj(node_features(planes, slice(None)))
        return features.permute(0, 4, 1, 2, 3)

    def _unfold_z(self, field: Tensor) -> Tensor:
        parts = field.unflatten(1, (self.channels, self.subdivide_z)).permute(0, 1, 3, 4, 5, 2)
        nodes = (field.shape[-1] - 1) * self.subdivide_z + 1
        unfolded: Tensor = parts.flatten(4)[..., :nodes]
        return unfolded
