"""Image cross-attention: queries of a plane look into the cameras (paper section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.model.deformable_attention import deformable_attention
from training.model.projection import Projected


class ImageCrossAttention(nn.Module):
    """Each query samples the images where the points of its pillar appear.

    One learned offset per reference point and head; cameras that see none of a query's points
    do not take part, the others are averaged.
    """

    def __init__(self, dim: int, heads: int, anchors: int) -> None:
        super().__init__()
        self.heads, self.anchors = heads, anchors
        self.value_proj = nn.Linear(dim, dim)
        self.sampling_offsets = nn.Linear(dim, heads * anchors * 2)
        self.attention_weights = nn.Linear(dim, heads * anchors)
        self.output_proj = nn.Linear(dim, dim)
        self._initialize()

    def _initialize(self) -> None:
        """Start with offsets that point in a different direction for each head."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        with torch.no_grad():
            bias = directions[:, None, :].expand(-1, self.anchors, -1)
            self.sampling_offsets.bias.copy_(bias.reshape(-1))
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(self, queries: Tensor, features: Tensor, references: Projected) -> Tensor:
        """Attend.

        Args:
            queries: ``[Q, D]``.
            features: Image features ``[N, D, H, W]``.
            references: Where the queries' points appear ``[N, Q, anchors]``.

        Returns:
            Queries with what the images say added, ``[Q, D]``.
        """
        value = self._value(features)
        offsets, weights = self._sampling(queries, features.shape[-2:])
        seen = references.visible.any(-1)
        if torch.compiler.is_exporting():
            locations = references.locations[:, :, None] + offsets
            weights = weights.expand(len(features), -1, -1, -1)
            gathered = deformable_attention(value, locations, weights)
            total = (gathered * seen[..., None]).sum(0)
        else:
            total = self._gather_visible(value, references.locations, offsets, weights, seen)
        mean = total / seen.sum(0).clamp(min=1)[:, None]
        update: Tensor = self.output_proj(mean)
        return queries + update

    def _value(self, features: Tensor) -> Tensor:
        cameras, dim, height, width = features.shape
        value: Tensor = self.value_proj(features.flatten(2).transpose(1, 2))
        return value.transpose(1, 2).reshape(cameras, self.heads, dim // self.heads, height, width)

    def _sampling(self, queries: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        """Return offsets ``[Q, heads, anchors, 2]`` and weights ``[Q, heads, anchors]``."""
        height, width = size
        offsets = self.sampling_offsets(queries).view(-1, self.heads, self.anchors, 2)
        weights = self.attention_weights(queries).view(-1, self.heads, self.anchors)
        cell = torch.tensor([1.0 / width, 1.0 / height], dtype=queries.dtype)
        return offsets * cell, weights.softmax(-1)

    def _gather_visible(
        self, value: Tensor, locations: Tensor, offsets: Tensor, weights: Tensor, seen: Tensor
    ) -> Tensor:
        """Sum over cameras, computing only the camera-query pairs that see each other."""
        total = value.new_zeros(seen.shape[1], value.shape[1] * value.shape[2])
        for camera in range(len(value)):
            (index,) = torch.nonzero(seen[camera], as_tuple=True)
            places = locations[camera, index][:, None] + offsets[index]
            gathered = deformable_attention(
                value[camera, None], places[None], weights[None, index]
            )
            total = total.index_add(0, index, gathered[0])
        return total
