"""Cross-view hybrid attention: the planes look at each other (method section 2.4a)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.config import EncoderConfig
from training.grid import NodeGrid
from training.model.deformable_attention import Places
from training.model.planes import cross_view_references, planes_of
from training.model.sampling_heads import SamplingHeads


class CrossViewAttention(SamplingHeads):
    """One deformable attention over the queries of all planes, which are its levels.

    Values come from the queries, offsets and weights from the queries with their positions:

        x + dropout(output(attend(x + position, value(x))))
    """

    references: Tensor

    def __init__(self, config: EncoderConfig, grid: NodeGrid, *, parity: bool) -> None:
        planes, points = planes_of(config.view), config.self_points
        super().__init__(config.dim, config.heads, len(planes), points, spread=True)
        self.dropout = nn.Dropout(config.dropout)
        self.sizes = [plane.shape(grid) for plane in planes]
        references = cross_view_references(grid, config.view, points, parity=parity)
        self.register_buffer('references', references, persistent=False)

    def forward(self, queries: Tensor, positions: Tensor | float) -> Tensor:
        """Map queries ``[B, Q, D]`` with positions ``[Q, D]`` to ``[B, Q, D]``."""
        batch, count, _ = queries.shape
        places = Places(
            self.references.expand(batch, 1, *self.references.shape),
            torch.ones(batch, 1, count, dtype=torch.bool, device=queries.device),
        )
        read = self.attend(queries + positions, queries[:, None], self.sizes, places)
        return queries + self.dropout(read)  # type: ignore[no-any-return]
