"""The training objective: what the field of one sample costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.sampler import Sample, Supervision, View
from training.losses.photometric import (
    Descriptor,
    describe,
    look_up,
    mvs_embedded_loss,
    proposal_costs,
    rgb_loss,
)
from training.losses.regularizers import (
    eikonal_loss,
    gradients,
    hessian_loss,
    sparsity_loss,
    swept_volume_loss,
)
from training.model.selfocc import Field
from training.presets import LossWeights, RenderConfig
from training.rendering.rays import cast_rays, jittered, log_spaced_distances
from training.rendering.render import along, exit_depth, render

# Beyond the volume a pixel may lie anywhere; these multiples of the exit depth stand for it.
_FAR_PROPOSALS = (1.15, 1.6, 2.5, 5.0)


@dataclass(frozen=True)
class Objective:
    """Sum of all losses with their weights.

    Attributes:
        render: How rays are sampled.
        weights: Weight of each loss.
        anchor_share: Share of the rays cast from a neighbouring moment.
        generator: Source of all random choices.
    """

    render: RenderConfig
    weights: LossWeights
    anchor_share: float
    generator: torch.Generator

    def __call__(self, field: Field, sample: Sample, sharpness: float) -> dict[str, Tensor]:
        """Return each weighted loss and their sum, ``total``."""
        own, neighbour = sample.supervisions
        share = self.anchor_share
        losses = self._regularizers(field, sample)
        for supervision, part in ((own, 1 - share), (neighbour, share)):
            rays = int(self.render.rays * part)
            photometric, rgb = self._video(field, supervision, sharpness, rays)
            _accumulate(losses, 'photometric', self.weights.photometric * part * photometric)
            _accumulate(losses, 'rgb', self.weights.rgb * part * rgb)
        losses['total'] = torch.stack(list(losses.values())).sum()
        return losses

    def _regularizers(self, field: Field, sample: Sample) -> dict[str, Tensor]:
        gradient = gradients(field.sdf, field.grid)
        weights = self.weights
        return {
            'eikonal': weights.eikonal * eikonal_loss(gradient),
            'hessian': weights.hessian * hessian_loss(gradient, field.grid),
            'sparsity': weights.sparsity * sparsity_loss(field.sdf),
            'swept_volume': weights.swept_volume * swept_volume_loss(field, sample.swept),
        }

    def _video(
        self, field: Field, supervision: Supervision, sharpness: float, count: int
    ) -> tuple[Tensor, Tensor]:
        """Return the MVS-embedded and the colour loss of some random pixels."""
        anchor = supervision.anchor
        cameras, pixels = self._random_pixels(anchor, count)
        rays = cast_rays(pixels, anchor.image_from_ego[cameras])
        config = self.render
        distances = log_spaced_distances(config.near_m, config.far_m, config.samples)
        rendering = render(field, rays, jittered(distances, count, self.generator), sharpness)
        exits = exit_depth(rays, field.grid)
        beyond = along(rays, exits[:, None] * torch.tensor(_FAR_PROPOSALS))
        target = look_up(_describe(anchor), cameras, pixels[:, None])[:, 0]
        proposals = proposal_costs(
            target,
            pixels,
            torch.cat([rendering.points.detach(), beyond], 1),
            [(_describe(s), cameras, s.image_from_ego[cameras]) for s in supervision.sources],
        )
        photometric = mvs_embedded_loss(rendering.weights, rendering.background, proposals)
        return photometric, rgb_loss(rendering, target[:, :3])

    def _random_pixels(self, view: View, count: int) -> tuple[Tensor, Tensor]:
        cameras, height, width, _ = view.images.shape
        sizes = (cameras, width, height)
        camera, u, v = (torch.randint(size, (count,), generator=self.generator) for size in sizes)
        return camera, torch.stack([u, v], -1).float()


def _describe(view: View) -> Descriptor:
    return describe(view.images.permute(0, 3, 1, 2).float() / 255)


def _accumulate(losses: dict[str, Tensor], name: str, value: Tensor) -> None:
    losses[name] = losses[name] + value if name in losses else value
