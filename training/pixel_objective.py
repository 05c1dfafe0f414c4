"""The training objective of the small presets: single random pixels of every image.

Differs from the method (``objective``) where a small network on a CPU needs it; the modules it
uses say how: ``rendering.edge_render`` and ``losses.proposals``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from selfocc_core.errors import SelfOccError
from training.config import Preset
from training.data.sampler import Sample, Supervision, View
from training.field import Field
from training.losses.eikonal import eikonal_loss
from training.losses.matching import Appearance, Target, appearance_of, target_of
from training.losses.pixel_reprojection import pixel_reprojection_loss
from training.losses.pixel_semantics import class_loss
from training.losses.proposals import (
    Source,
    evidence_loss,
    mvs_embedded_loss,
    proposal_costs,
    rgb_loss,
)
from training.objective import Losses, colors_of, volume_losses, with_total
from training.rendering.derivatives import gradient_volume
from training.rendering.edge_render import (
    EdgeRendering,
    along,
    exit_depth,
    last_distance,
    render_edges,
)
from training.rendering.rays import Rays, cast_rays, jittered, log_spaced_distances
from training.rendering.weights import resolved_sharpness, softened

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
        is_distance = self.preset.render.weights == 'neus'
        gradient = gradient_volume(field.sdf, field.grid) if is_distance else None
        losses = dict(volume_losses(self.preset, field, gradient, sample, self.generator))
        if weights.eikonal and gradient is not None:
            losses['eikonal'] = weights.eikonal * eikonal_loss(gradient)
        for share, supervision in sample.supervisions:
            rays = int(self.preset.render.pixel_count * share)
            for name, value in self._video(field, supervision, sharpness, rays):
                losses[name] = losses.get(name, 0) + share * value
        return with_total(losses)

    def _video(
        self, field: Field, supervision: Supervision, sharpness: Tensor, count: int
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the weighted losses of some random pixels."""
        anchor, weights = supervision.anchor, self.preset.losses
        cameras, pixels = self._random_pixels(anchor, count)
        rays = cast_rays(pixels, anchor.image_from_ego[cameras])
        rendering = self._rendered(field, rays, sharpness)
        target = target_of(self._appearance(anchor), cameras, pixels)
        sources = [
            Source(self._appearance(view), cameras, view.image_from_ego[cameras])
            for view in supervision.sources
        ]
        photometric = self._photometric(field, rays, rendering, target, pixels, sources)
        yield 'photometric', weights.photometric * photometric
        yield 'rgb', weights.rgb * rgb_loss(rendering, target.color)
        if weights.semantic:
            labels = _labels(anchor, cameras, pixels)
            yield 'semantic', weights.semantic * class_loss(rendering, labels)

    def _rendered(self, field: Field, rays: Rays, sharpness: Tensor) -> EdgeRendering:
        config = self.preset.render
        last_m = last_distance(rays, field.grid, config.near_m, config.far_m)
        distances = jittered(
            log_spaced_distances(config.near_m, last_m, config.samples), self.generator
        )
        if config.weights == 'neus':
            sharpness = self._sharpness_along(sharpness, distances)
        return render_edges(field, rays, distances, sharpness, config.weights)

    def _sharpness_along(self, sharpness: Tensor, distances: Tensor) -> Tensor:
        """Return ``inv_s`` of a signed distance at the samples ``[R, S]``, or of the rays."""
        config = self.preset.render
        if config.soft_share:
            draws = torch.rand(len(distances), 2, generator=self.generator)
            sharpness = softened(sharpness, config.sharpness_start, config.soft_share, draws)
        if config.bin_sharpness:
            sharpness = resolved_sharpness(sharpness, distances, config.bin_sharpness)
        return sharpness

    def _photometric(
        self,
        field: Field,
        rays: Rays,
        rendering: EdgeRendering,
        target: Target,
        pixels: Tensor,
        sources: list[Source],
    ) -> Tensor:
        if self.preset.losses.photometric_form == 'reprojection':
            # What lies beyond the volume may be far beyond it.
            far_m = (self.preset.render.far_m - exit_depth(rays, field.grid)).clamp(min=0)
            depth = rendering.depth + rendering.background * far_m
            met = along(rays, depth[:, None])[:, 0]
            automask = self.preset.losses.automask
            return pixel_reprojection_loss(target, pixels, met, sources, automask=automask)
        exits = exit_depth(rays, field.grid)
        beyond = along(rays, exits[:, None] * exits.new_tensor(_FAR_PROPOSALS))
        points = torch.cat([rendering.points.detach(), beyond], 1)
        proposals = proposal_costs(target, pixels, points, sources)
        weights, background = rendering.weights, rendering.background
        if self.preset.losses.photometric_form == 'evidence':
            return evidence_loss(weights, background, proposals, self.preset.losses.temperature)
        return mvs_embedded_loss(weights, background, proposals)

    def _appearance(self, view: View) -> Appearance:
        return appearance_of(colors_of(view), self.preset.losses.patch_steps)

    def _random_pixels(self, view: View, count: int) -> tuple[Tensor, Tensor]:
        cameras, height, width, _ = view.images.shape
        sizes = (cameras, width, height)
        camera, u, v = (torch.randint(size, (count,), generator=self.generator) for size in sizes)
        return camera, torch.stack([u, v], -1).float()


def _labels(view: View, cameras: Tensor, pixels: Tensor) -> Tensor:
    """Return the label of each pixel ``[R]``."""
    if view.labels is None:
        raise SelfOccError(
            'semantics are learned, but a clip has no pseudo-labels: add labels=DIR'
        )
    u, v = pixels.long().unbind(1)
    return view.labels[cameras, v, u].long()
