"""The training objective of the small presets: single random pixels of every image.

Differs from the method (``objective``) where a small network on a CPU needs it; the modules it
uses say how: ``rendering.edge_render`` and ``losses.proposals``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.config import Preset
from training.data.sampler import Sample, Supervision, View
from training.field import Field
from training.losses.eikonal import eikonal_loss
from training.losses.proposals import (
    Descriptor,
    describe,
    look_up,
    mvs_embedded_loss,
    proposal_costs,
    rgb_loss,
)
from training.objective import Losses, colors_of, volume_losses, with_total
from training.rendering.derivatives import gradient_volume
from training.rendering.edge_render import along, exit_depth, render_edges
from training.rendering.rays import cast_rays, jittered, log_spaced_distances

# Beyond the volume a pixel may lie anywhere; these multiples of the exit depth stand for it.
_FAR_PROPOSALS = (1.15, 1.6, 2.5, 5.0)


@dataclass(frozen=True)
class PixelObjective:
    """Sum of all losses with their weights.

    Attributes:
        preset: The configuration.
        generator: Source of all random choices.
    """

    preset: Preset
    generator: torch.Generator

    def __call__(self, field: Field, sample: Sample, sharpness: Tensor) -> Losses:
        """Return each weighted loss and their sum, ``total``."""
        weights = self.preset.losses
        gradient = gradient_volume(field.sdf, field.grid)
        losses = dict(volume_losses(self.preset, field, gradient, sample, self.generator))
        losses['eikonal'] = weights.eikonal * eikonal_loss(gradient)
        for share, supervision in sample.supervisions:
            rays = int(self.preset.render.pixel_count * share)
            photometric, rgb = self._video(field, supervision, sharpness, rays)
            for name, value in (
                ('photometric', weights.photometric * photometric),
                ('rgb', weights.rgb * rgb),
            ):
                losses[name] = losses.get(name, 0) + share * value
        return with_total(losses)

    def _video(
        self, field: Field, supervision: Supervision, sharpness: Tensor, count: int
    ) -> tuple[Tensor, Tensor]:
        """Return the MVS-embedded and the colour loss of some random pixels."""
        anchor = supervision.anchor
        cameras, pixels = self._random_pixels(anchor, count)
        rays = cast_rays(pixels, anchor.image_from_ego[cameras])
        config = self.preset.render
        distances = log_spaced_distances(config.near_m, config.far_m, config.samples)
        rendering = render_edges(
            field, rays, jittered(distances, count, self.generator), sharpness
        )
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
    return describe(colors_of(view))
