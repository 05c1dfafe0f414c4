"""Lift: each node of the volume reads the image features at its own projection.

Not in the paper; worth its time on a small network (SimpleOcc uses the same idea).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.deformable_attention import Places
from training.model.projection import Views, project


class Lift(nn.Module):
    """Averages, at each node, the features of the cameras that see it."""

    nodes: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.proj = nn.Conv2d(config.encoder.dim, config.decoder.volume_channels, 1)
        nodes = config.grid.node_positions().flatten(0, 2)
        self.register_buffer('nodes', nodes, persistent=False)

    def forward(self, features: Tensor, views: Views) -> Tensor:
        """Return features at the nodes ``[B, C, Y, X, Z]``.

        Args:
            features: Of the finest level ``[B, N, D, h, w]``.
            views: The cameras.
        """
        maps = self.proj(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        places = project(self.nodes, views, parity=self.config.parity)
        x, y, z = self.config.grid.nodes
        return average(maps, places).view(*maps.shape[:1], maps.shape[2], y, x, z)


def average(maps: Tensor, places: Places) -> Tensor:
    """Average maps ``[B, N, C, h, w]`` at visible places ``[B, N, P, 2]`` to ``[B, C, P]``."""
    count = places.visible.sum(1).clamp(min=1)
    if torch.compiler.is_exporting():
        grid = 2 * places.references.flatten(0, 1)[:, :, None] - 1
        sampled = F.grid_sample(maps.flatten(0, 1), grid, align_corners=False).squeeze(-1)
        sampled = sampled.unflatten(0, maps.shape[:2])
        total: Tensor = (sampled * places.visible[:, :, None]).sum(1)
        return total / count[:, None]
    total = torch.stack([_gather(*sample) for sample in zip(maps, *places, strict=True)])
    return total / count[:, None]


def _gather(maps: Tensor, references: Tensor, visible: Tensor) -> Tensor:
    """Sum one sample's cameras ``[C, P]``, computing only what is visible."""
    total = maps.new_zeros(visible.shape[1], maps.shape[1])
    for camera in range(len(maps)):
        (index,) = torch.nonzero(visible[camera], as_tuple=True)
        grid = 2 * references[camera, index][None, :, None] - 1
        sampled = F.grid_sample(maps[camera, None], grid, align_corners=False)
        total = total.index_add(0, index, sampled[0, :, :, 0].T)
    return total.T
