"""Lift: each node of the volume reads the image features at its own projection.

Not in the paper; worth its time on a small network (SimpleOcc uses the same idea).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.model.deformable_attention import Places
from training.model.operator_node import attention_node
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
    if torch.compiler.is_exporting():
        return _node(maps, places)
    count = places.visible.sum(1).clamp(min=1)
    pairs = zip(maps, places.references, places.visible, strict=True)
    total = torch.stack([_gather(*sample) for sample in pairs])
    return total / count[:, None]


def _node(maps: Tensor, places: Places) -> Tensor:
    """Average as attention does with one head, one level and one point without an offset."""
    size, queries = (maps.shape[3], maps.shape[4]), places.visible.shape[2]
    value = maps.flatten(3).transpose(2, 3)[:, :, :, None]
    at = Places(places.references[:, :, :, None, None], places.visible, places.present)
    nowhere = maps.new_zeros(1, queries, 1, 1, 1, 2)
    attended = attention_node(value, [size], at, nowhere, nowhere[..., 0, 0])
    return attended.transpose(1, 2)


def _gather(maps: Tensor, references: Tensor, visible: Tensor) -> Tensor:
    """Sum one sample's cameras ``[C, P]``, computing only what is visible."""
    total = maps.new_zeros(visible.shape[1], maps.shape[1])
    for camera in range(len(maps)):
        (index,) = torch.nonzero(visible[camera], as_tuple=True)
        grid = 2 * references[camera, index][None, :, None] - 1
        sampled = F.grid_sample(maps[camera, None], grid, align_corners=False)
        total = total.index_add(0, index, sampled[0, :, :, 0].T)
    return total.T
