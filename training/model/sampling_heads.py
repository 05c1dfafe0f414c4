"""What every deformable attention learns: where to look, what counts, what to read and write."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.model.deformable_attention import Places, deformable_attention
from training.model.operator_node import attention_node


class SamplingHeads(nn.Module):
    """Linear layers for offsets, weights, values and output around ``deformable_attention``.

    Args:
        dim: Channels of queries and values.
        heads: Attention heads.
        levels: Levels of the values.
        points: Places for each level.
        spread: Whether the initial offsets grow from point to point.
    """

    def __init__(self, dim: int, heads: int, levels: int, points: int, *, spread: bool) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling_offsets = nn.Linear(dim, heads * levels * points * 2)
        self.attention_weights = nn.Linear(dim, heads * levels * points)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self._initialize(spread)

    def _initialize(self, spread: bool) -> None:
        """Offsets start as unit directions at angles 2πh/heads, of maximum norm 1."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        reach = torch.arange(1.0, self.points + 1) if spread else torch.ones(self.points)
        bias = directions[:, None, None] * reach[:, None]
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(bias.expand(-1, self.levels, -1, -1).reshape(-1))
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def attend(
        self, queries: Tensor, values: Tensor, sizes: Sequence[tuple[int, int]], places: Places
    ) -> Tensor:
        """Return what the queries read ``[B, Q, D]``.

        Args:
            queries: ``[B, Q, D]``.
            values: Tokens of N images ``[B, N, T, D]``.
            sizes: Height and width of the levels.
            places: Reference points of the queries in the images.
        """
        shape = (*queries.shape[:2], self.heads, self.levels, self.points)
        offsets = self.sampling_offsets(queries).view(*shape, 2)
        logits = self.attention_weights(queries).view(*shape[:3], -1)
        value = self.value_proj(values).unflatten(-1, (self.heads, -1))
        if torch.compiler.is_exporting():
            return self.output_proj(  # type: ignore[no-any-return]
                attention_node(value, sizes, places, offsets, logits)
            )
        weights = logits.softmax(-1).view(shape)
        read = deformable_attention(value, sizes, places, offsets, weights)
        return self.output_proj(read)  # type: ignore[no-any-return]
