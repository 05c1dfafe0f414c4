"""What the network decodes: a volume of signed distance, colour and semantics."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from training.grid import NodeGrid


class Field(NamedTuple):
    """The field of one sample on a grid of nodes.

    Attributes:
        volume: ``[1 + C, Y, X, Z]``: signed distance in metres (negative inside things), then raw
            colour (3 channels or none), then semantic logits.
        grid: Where the nodes are.
        color_channels: 3, or 0 of a network without colour.
    """

    volume: Tensor
    grid: NodeGrid
    color_channels: int = 3

    @property
    def sdf(self) -> Tensor:
        """Signed distance ``[Y, X, Z]`` in metres."""
        return self.volume[0]

    @property
    def semantics(self) -> Tensor:
        """Semantic logits ``[classes, Y, X, Z]``."""
        return self.volume[1 + self.color_channels :]
