"""Image cross-attention: queries of a plane look into the cameras (method section 2.4b)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from training.config import EncoderConfig
from training.model.deformable_attention import Places
from training.model.sampling_heads import SamplingHeads


class ImageTokens(NamedTuple):
    """The feature pyramids of some cameras.

    Attributes:
        tokens: Level after level, row after row ``[B, N, T, D]``.
        sizes: Height and width of the levels.
    """

    tokens: Tensor
    sizes: Sequence[tuple[int, int]]


class ImageCrossAttention(SamplingHeads):
    """Each query samples the images where the points of its pillar appear.

    Point p of every level and head starts from anchor p and adds one learned offset. A camera
    takes part if it sees any anchor of the query; those are averaged:

        x + dropout(output(1/|V| Σ_{n ∈ V} attend_n(x)))
    """

    def __init__(self, config: EncoderConfig, levels: int, anchors: int) -> None:
        super().__init__(config.dim, config.heads, levels, anchors, spread=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, queries: Tensor, images: ImageTokens, anchors: Places) -> Tensor:
        """Attend.

        Args:
            queries: ``[B, Q, D]``.
            images: Image features.
            anchors: Where the anchors appear, ``[B, N, Q, A, 2]`` and ``[B, N, Q, A]``.

        Returns:
            Queries with what the images say added ``[B, Q, D]``.
        """
        places = Places(
            anchors.references[:, :, :, None], anchors.visible.any(-1), anchors.present
        )
        read = self.attend(queries, images.tokens, images.sizes, places)
        return queries + self.dropout(read)  # type: ignore[no-any-return]
