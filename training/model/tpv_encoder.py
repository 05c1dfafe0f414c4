"""Tri-perspective view: three planes of queries describe the volume (paper section 3.2).

Planes are named by their axes: ``top`` (y, x), ``side`` (z, y), ``front`` (x, z). Volumes are
``[C, Y, X, Z]``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.model.image_cross_attention import ImageCrossAttention
from training.model.projection import Projected, project
from training.presets import ModelConfig, NodeGrid


def node_axes(grid: NodeGrid) -> list[Tensor]:
    """Return the coordinates of the nodes along x, y, z in metres."""
    return [
        torch.linspace(low, high, nodes)
        for low, high, nodes in zip(grid.minimum_m, grid.maximum_m, grid.nodes, strict=True)
    ]


def node_positions(grid: NodeGrid) -> Tensor:
    """Return the positions of all nodes ``[Y, X, Z, 3]`` in the ego frame."""
    x, y, z = node_axes(grid)
    grid_y, grid_x, grid_z = torch.meshgrid(y, x, z, indexing='ij')
    return torch.stack([grid_x, grid_y, grid_z], -1)


def plane_anchors(grid: NodeGrid, top_anchors: int, side_anchors: int) -> list[Tensor]:
    """Return the reference points of the queries of the three planes, each ``[Q, A, 3]``.

    The points of a query sweep the axis that its plane collapses, both ends included.
    """
    x_nodes, y_nodes, z_nodes = grid.nodes
    top = NodeGrid(grid.minimum_m, grid.maximum_m, (x_nodes, y_nodes, top_anchors))
    side = NodeGrid(grid.minimum_m, grid.maximum_m, (side_anchors, y_nodes, z_nodes))
    front = NodeGrid(grid.minimum_m, grid.maximum_m, (x_nodes, side_anchors, z_nodes))
    return [
        node_positions(top).flatten(0, 1),
        node_positions(side).permute(2, 0, 1, 3).flatten(0, 1),
        node_positions(front).permute(1, 2, 0, 3).flatten(0, 1),
    ]


class EncoderLayer(nn.Module):
    """Image cross-attention of each plane, then a feed-forward network shared by the planes."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        anchors = (config.top_anchors, config.side_anchors, config.side_anchors)
        self.attentions = nn.ModuleList(
            ImageCrossAttention(config.dim, config.heads, count) for count in anchors
        )
        self.norm1, self.norm2 = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.ffn = nn.Sequential(
            nn.Linear(config.dim, 2 * config.dim),
            nn.ReLU(),
            nn.Linear(2 * config.dim, config.dim),
        )

    def forward(
        self, planes: list[Tensor], features: Tensor, references: list[Projected]
    ) -> list[Tensor]:
        """Return the planes ``[Q, D]`` after one look into the images."""
        attended = [
            self.norm1(attention(plane, features, reference))
            for attention, plane, reference in zip(
                self.attentions, planes, references, strict=True
            )
        ]
        return [self.norm2(plane + self.ffn(plane)) for plane in attended]


class TpvEncoder(nn.Module):
    """Queries on three planes gather image features."""

    top_anchors: Tensor
    side_anchors: Tensor
    front_anchors: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        anchors = plane_anchors(config.grid, config.top_anchors, config.side_anchors)
        for name, points in zip(('top', 'side', 'front'), anchors, strict=True):
            self.register_buffer(f'{name}_anchors', points, persistent=False)
        self.queries = nn.ParameterList(
            nn.Parameter(0.1 * torch.randn(len(points), config.dim)) for points in anchors
        )
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))

    def forward(self, features: Tensor, image_from_ego: Tensor, camera_mask: Tensor) -> Tensor:
        """Return the volume of summed plane features ``[D, Y, X, Z]``.

        Args:
            features: Image features ``[N, D, H, W]``.
            image_from_ego: Projections ``[N, 3, 4]`` to pixels of the network input.
            camera_mask: Which cameras are present ``[N]``.
        """
        size = (self.config.height, self.config.width)
        references = []
        for points in (self.top_anchors, self.side_anchors, self.front_anchors):
            projected = project(points, image_from_ego, size)
            visible = projected.visible & camera_mask[:, None, None]
            references.append(projected._replace(visible=visible))
        planes = list(self.queries)
        for layer in self.layers:
            planes = layer(planes, features, references)
        return self._sum(planes)

    def _sum(self, planes: list[Tensor]) -> Tensor:
        """Broadcast each plane along its collapsed axis and add."""
        x, y, z = self.config.grid.nodes
        top, side, front = planes
        volume = (
            top.view(y, x, 1, -1)
            + side.view(z, y, -1).permute(1, 0, 2)[:, None]
            + front.view(x, z, -1)[None]
        )
        return volume.permute(3, 0, 1, 2)
