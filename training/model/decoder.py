"""The decoder of the method: an MLP at every node (method section 2.5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.config import ModelConfig


def field_channels(config: ModelConfig) -> int:
    """Return 1 + C: signed distance, raw colour, semantic logits."""
    return 1 + (3 if config.decoder.color else 0) + config.decoder.classes


def node_features(planes: Sequence[Tensor], rows: slice) -> Tensor:
    """Return ``f(y, x, z) = top(y, x) + side(z, y) + front(x, z)`` of some rows y.

    Args:
        planes: ``top`` ``[B, Y, X, D]``, ``side`` ``[B, Z, Y, D]``, ``front`` ``[B, X, Z, D]``.
        rows: Which y.

    Returns:
        ``[B, rows, X, Z, D]``.
    """
    top, side, front = planes
    return top[:, rows, :, None] + side.transpose(1, 2)[:, rows, None] + front[:, None]


class NodeMlp(nn.Module):
    """Softplus, Linear, Softplus, Linear: activation first; no view direction.

    The nodes of some rows are decoded at a time and recomputed in the backward pass: features of
    all nodes at once would be the largest tensor of the network.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, layers = config.encoder.dim, config.decoder.layers
        parts: list[nn.Module] = []
        for _ in range(layers - 1):
            parts += [nn.Softplus(), nn.Linear(dim, dim)]
        self.mlp = nn.Sequential(*parts, nn.Softplus(), nn.Linear(dim, field_channels(config)))
        x, _, z = config.grid.nodes
        self.rows_at_once = max(1, config.decoder.chunk_nodes // (x * z))

    def forward(self, planes: Sequence[Tensor]) -> Tensor:
        """Map planes to the field ``[B, 1 + C, Y, X, Z]``."""
        count = planes[0].shape[1]
        parts = []
        for first in range(0, count, self.rows_at_once):
            rows = slice(first, min(first + self.rows_at_once, count))
            if torch.is_grad_enabled():
                part = checkpoint(self._decode, planes, rows, use_reentrant=False)
            else:
                part = self._decode(planes, rows)
            parts.append(part)
        return torch.cat(parts, 1).permute(0, 4, 1, 2, 3)

    def _decode(self, planes: Sequence[Tensor], rows: slice) -> Tensor:
        return self.mlp(node_features(planes, rows))  # type: ignore[no-any-return]


class ColumnMlp(nn.Module):
    """The bird's eye view variant: the MLP gives all nodes of a column at once.

    The signed distance starts as the ground plane: rows of the last layer that give it are drawn
    from N(0, 1e-4), with the node's height above the ground as bias. With ``parity`` the ground
    lies at z = -1.6 m, below a roof sensor, as in the original.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, heights = config.encoder.dim, config.grid.z.node_coordinates()
        self.channels, self.heights = field_channels(config), len(heights)
        last = nn.Linear(dim, self.channels * self.heights)
        with torch.no_grad():
            last.weight[: self.heights].normal_(std=1e-4)
            last.bias[: self.heights] = heights + (
                1.6 if config.parity else config.frame.origin_m[2]
            )
        self.mlp = nn.Sequential(nn.Softplus(), nn.Linear(dim, dim), nn.Softplus(), last)

    def forward(self, planes: Sequence[Tensor]) -> Tensor:
        """Map the top plane ``[B, Y, X, D]`` to the field ``[B, 1 + C, Y, X, Z]``."""
        columns = self.mlp(planes[0]).unflatten(-1, (self.channels, self.heights))
        return columns.permute(0, 3, 1, 2, 4)  # type: ignore[no-any-return]
