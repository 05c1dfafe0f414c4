"""Our decoder for small networks: 3x3x3 convolutions over plane and lifted features.

As the U-Net does (Ronneberger et al. 2015), it looks around at half the resolution first.
Not in the paper, and not compared with the method's MLP at this size yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.decoder import field_channels, node_features
from training.model.interpolation import interpolation
from training.model.volume_convolution import VolumeConvolution


class ConvolutionalDecoder(nn.Module):
    """A few convolutions, then a linear head at every node.

    Features at the nodes are the sum of those of three planes. In the bird's eye view the top
    plane gives the features of a whole column at once, as its variant of the MLP does.

    The head predicts several field nodes for each feature node, as a sub-pixel convolution does
    (Shi et al. 2016), mostly along z, where streets have their finest structure. The field starts
    as the ground plane z = 0, capped above.
    """

    ground: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        decoder = config.decoder
        channels = decoder.volume_channels
        self.parts = decoder.subdivide_xy, decoder.subdivide_xy, decoder.subdivide_z
        self.channels = field_channels(config)
        self.heights = config.grid.z.nodes if config.encoder.view == 'bev' else 1
        self.plane_proj = nn.Linear(config.encoder.dim, channels * self.heights)
        self.refinements = nn.ModuleList(
            VolumeConvolution(channels) for _ in range(decoder.refinements)
        )
        self.context = nn.ModuleList(
            VolumeConvolution(channels, stride=1 if i else 2) for i in range(decoder.context)
        )
        self.head = nn.Conv3d(channels, self.channels * math.prod(self.parts), 1)
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
            ``[B, 1 + C, Y', X', Z']``, where n nodes of k parts became ``(n - 1) k + 1``.
        """
        features = self._node_features(planes)
        x = torch.relu(features if lifted is None else features + lifted)
        if self.context:
            x = x + self._context(x)
        for refinement in self.refinements:
            x = x + refinement(x)
        field = self._unfold(self.head(x))
        return torch.cat([field[:, :1] + self.ground, field[:, 1:]], 1)

    def _node_features(self, planes: Sequence[Tensor]) -> Tensor:
        """Return features at the nodes ``[B, C, Y, X, Z]``."""
        if len(planes) == 1:
            columns: Tensor = self.plane_proj(planes[0]).unflatten(-1, (-1, self.heights))
            return columns.permute(0, 3, 1, 2, 4)
        # Planes have far fewer features than nodes: they are projected before they are added.
        top, *others = planes
        projected = [F.linear(plane, self.plane_proj.weight) for plane in others]
        features = node_features([self.plane_proj(top), *projected], slice(None))
        return features.permute(0, 4, 1, 2, 3)

    def _context(self, x: Tensor) -> Tensor:
        """Return features at all nodes of what every second node sees."""
        coarse = self.context[0](x)
        for convolution in self.context[1:]:
            coarse = coarse + convolution(coarse)
        return _enlarged(coarse, x.shape[2], x.shape[3])

    def _unfold(self, field: Tensor) -> Tensor:
        """Put the field nodes that each feature node predicts in their places."""
        y, x, z = ((n - 1) * k + 1 for n, k in zip(field.shape[2:], self.parts, strict=True))
        parts = field.unflatten(1, (self.channels, *self.parts)).permute(0, 1, 5, 2, 6, 3, 7, 4)
        unfolded: Tensor = parts.flatten(6).flatten(4, 5).flatten(2, 3)[:, :, :y, :x, :z]
        return unfolded


def _enlarged(volume: Tensor, rows: int, columns: int) -> Tensor:
    """Interpolate ``[B, C, Y, X, Z]`` along y and x; the corner nodes stay where they are."""
    along_y, along_x = (
        interpolation(torch.linspace(0, nodes - 1, places, device=volume.device), nodes)
        for nodes, places in zip(volume.shape[2:4], (rows, columns), strict=True)
    )
    levels = volume.permute(0, 4, 1, 2, 3)
    return (along_y @ (levels @ along_x.T)).permute(0, 2, 3, 4, 1)
