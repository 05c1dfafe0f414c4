"""Planes of queries that gather what the cameras see (method sections 2.3 and 2.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.config import ModelConfig
from training.model.cross_view_attention import CrossViewAttention
from training.model.deformable_attention import Places
from training.model.image_cross_attention import ImageCrossAttention, ImageTokens
from training.model.planes import pillar_anchors, planes_of
from training.model.positional_encoding import PositionalEncoding
from training.model.projection import Views, project


class EncoderLayer(nn.Module):
    """Planes look at each other, then at the images, then think; normed after each step.

        x = norm(cross_view(x));  x_i = image_i(x_i);  x = norm(x);  x = norm(x + ffn(x))

    Norms and feed-forward network are shared by the planes, image attention is not.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        encoder, levels = config.encoder, config.backbone.levels
        planes = planes_of(encoder.view)
        self.queries = [rows * columns for rows, columns in (p.shape(config.grid) for p in planes)]
        self.cross_view = None
        if encoder.self_points:
            self.cross_view = CrossViewAttention(encoder, config.grid, parity=config.parity)
        self.image = nn.ModuleDict(
            {plane.name: ImageCrossAttention(encoder, levels, count)
             for plane, count in zip(planes, anchor_counts(config), strict=True)}
        )  # fmt: skip
        self.ffn = nn.Sequential(
            nn.Linear(encoder.dim, encoder.feedforward),
            nn.ReLU(),
            nn.Dropout(encoder.dropout),
            nn.Linear(encoder.feedforward, encoder.dim),
            nn.Dropout(encoder.dropout),
        )
        for parameter in self.ffn.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)
        norms = 3 if self.cross_view else 2
        self.norms = nn.ModuleList(nn.LayerNorm(encoder.dim) for _ in range(norms))

    def forward(
        self, x: Tensor, positions: Tensor | float, images: ImageTokens, anchors: Sequence[Places]
    ) -> Tensor:
        """Map the queries of all planes ``[B, Q, D]`` to ``[B, Q, D]``."""
        if self.cross_view is not None:
            x = self.norms[0](self.cross_view(x, positions))
        attended = [
            attention(plane, images, places)
            for attention, plane, places in zip(
                self.image.values(), x.split(self.queries, 1), anchors, strict=True
            )
        ]
        x = self.norms[-2](torch.cat(attended, 1))
        return self.norms[-1](x + self.ffn(x))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """The tri-perspective view encoder, or its bird's eye view variant with one plane."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        encoder, planes = config.encoder, planes_of(config.encoder.view)
        self.shapes = [plane.shape(config.grid) for plane in planes]
        self.queries = nn.ParameterDict()
        self.positions = nn.ModuleDict()
        for plane, count in zip(planes, anchor_counts(config), strict=True):
            anchors = pillar_anchors(plane, config.grid, count)
            self.register_buffer(f'{plane.name}_anchors', anchors, persistent=False)
            initial = encoder.query_std * torch.randn(len(anchors), encoder.dim)
            self.queries[plane.name] = nn.Parameter(initial)
            if encoder.position_frequencies:
                self.positions[plane.name] = PositionalEncoding(
                    plane, config.grid, encoder.position_frequencies, encoder.dim
                )
        if encoder.token_embeddings:
            shape = config.backbone.levels, encoder.dim
            self.level_embedding = nn.Parameter(torch.randn(shape))
            self.camera_embedding = nn.Parameter(torch.randn(config.input.cameras, encoder.dim))
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(encoder.layers))

    def forward(self, features: Sequence[Tensor], views: Views) -> list[Tensor]:
        """Return the planes, each ``[B, rows, columns, D]``.

        Args:
            features: Levels of the feature pyramid ``[B, N, D, H_l, W_l]``.
            views: The cameras.
        """
        images = self.tokens(features)
        anchors = self.project_anchors(views)
        positions = torch.cat([encode() for encode in self.positions.values()] or [torch.zeros(1)])
        x = torch.cat(list(self.queries.values())).expand(len(views.mask), -1, -1)
        for layer in self.layers:
            if self.config.encoder.checkpoint and torch.is_grad_enabled():
                x = checkpoint(layer, x, positions, images, anchors, use_reentrant=False)
            else:
                x = layer(x, positions, images, anchors)
        return self.unflatten(x)

    def tokens(self, features: Sequence[Tensor]) -> ImageTokens:
        """Flatten the pyramid to tokens; each is told its camera and level."""
        sizes = [(feature.shape[-2], feature.shape[-1]) for feature in features]
        levels = [feature.flatten(3).transpose(2, 3) for feature in features]
        if self.config.encoder.token_embeddings:
            cameras = self.camera_embedding[: levels[0].shape[1], None]
            levels = [
                tokens + cameras + level
                for tokens, level in zip(levels, self.level_embedding, strict=True)
            ]
        return ImageTokens(torch.cat(levels, 2), sizes)

    def project_anchors(self, views: Views) -> list[Places]:
        """Return where the anchors of each plane appear in the present cameras."""
        anchors = [self.get_buffer(f'{name}_anchors') for name in self.queries]
        return [project(points, views, parity=self.config.parity) for points in anchors]

    def unflatten(self, x: Tensor) -> list[Tensor]:
        """Cut queries ``[B, Q, D]`` into planes ``[B, rows, columns, D]``."""
        parts = x.split([rows * columns for rows, columns in self.shapes], 1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]


def anchor_counts(config: ModelConfig) -> list[int]:
    """Return the number of reference points of the queries of each plane."""
    encoder = config.encoder
    counts = [encoder.top_anchors, encoder.side_anchors, encoder.side_anchors]
    return counts[: len(planes_of(encoder.view))]
