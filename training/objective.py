"""The training objective of the method: what the field of one sample costs (section 3).

L = Σ_k λ_k L_k over photometric, RGB, Eikonal, Hessian, sparsity, smoothness, semantics
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from selfocc_core.errors import SelfOccError
from training.config import Preset
from training.data.sampler import Sample, Supervision, View
from training.field import Field
from training.losses.eikonal import eikonal_loss
from training.losses.hessian import hessian_loss
from training.losses.photometric import (
    Source,
    Target,
    combined_loss,
    read_target,
    separate_loss,
)
from training.losses.reprojection import reprojection_loss
from training.losses.rgb import color_loss
from training.losses.semantics import (
    binary_cross_entropy_loss,
    cross_entropy_loss,
    read_labels,
)
from training.losses.smoothness import edge_aware_smoothness
from training.losses.sparsity import (
    adaptive_sparsity_loss,
    hard_sparsity_loss,
    lattice_cells,
    shifted_lattice,
    soft_sparsity_loss,
    surface_sparsity_loss,
    uniform_sdf,
)
from training.losses.swept_volume import swept_volume_loss
from training.rendering.bins import stratified_bins
from training.rendering.box import intersect_box
from training.rendering.derivatives import gradient_volume, hessian_volume
from training.rendering.lattice import cellular_lattice
from training.rendering.rays import rays_through
from training.rendering.render import Rendering, render

Losses = dict[str, Tensor]


class Objective(Protocol):
    """Says what a predicted field costs."""

    def __call__(self, field: Field, sample: Sample, sharpness: Tensor) -> Losses:
        """Return each weighted loss and their sum, ``total``."""


@dataclass(frozen=True)
class LatticeObjective:
    """The method's: a lattice of rays in every image of the anchor moment.

    Attributes:
        preset: The configuration.
        step: Training step, for the anneal of the NeuS weights.
        generator: Source of all random choices.
    """

    preset: Preset
    step: int
    generator: torch.Generator

    def __call__(self, field: Field, sample: Sample, sharpness: Tensor) -> Losses:
        """Return each weighted loss and their sum, ``total``."""
        gradient = self._gradient(field)
        losses = dict(volume_losses(self.preset, field, gradient, sample, self.generator))
        for share, supervision in sample.supervisions:
            for name, value in self._video(field, gradient, supervision, sharpness):
                losses[name] = losses.get(name, 0) + share * value
        return with_total(losses)

    def _gradient(self, field: Field) -> Tensor | None:
        if self.preset.render.weights == 'density':
            return None
        return gradient_volume(field.sdf, field.grid, parity=self.preset.model.parity)

    def _video(
        self, field: Field, gradient: Tensor | None, supervision: Supervision, sharpness: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the weighted losses of what the rays of one moment meet."""
        anchor, weights = supervision.anchor, self.preset.losses
        pixels = self._pixels(anchor)
        rendering = self._render(field, gradient, anchor, pixels, sharpness)
        target = self._target(anchor, pixels)
        sources = [_source(anchor, source) for source in supervision.sources]
        shape = target.colors.shape[0], len(pixels), -1
        photometric = self._photometric(target, rendering, sources)
        yield 'photometric', weights.photometric * photometric
        if weights.rgb and rendering.color is not None:
            yield 'rgb', weights.rgb * color_loss(rendering.color.view(shape), target)
        if weights.eikonal and gradient is not None and rendering.gradient is not None:
            yield 'eikonal', weights.eikonal * eikonal_loss(rendering.gradient, gradient)
        if weights.smoothness:
            depth = rendering.depth.view(shape[:2])
            yield 'smoothness', weights.smoothness * edge_aware_smoothness(depth, target)
        if weights.sparsity and weights.sparsity_form == 'adaptive':
            behind = adaptive_sparsity_loss(
                rendering.sdf, rendering.sample_depths, rendering.depth
            )
            yield 'sparsity', weights.sparsity * behind
        if weights.semantic and rendering.semantics is not None:
            yield (
                'semantic',
                weights.semantic * self._semantic(rendering.semantics.view(shape), anchor, pixels),
            )

    def _pixels(self, anchor: View) -> Tensor:
        height, width = anchor.images.shape[1:3]
        config = self.preset.render
        draws = torch.rand(4, generator=self.generator)
        return cellular_lattice(
            draws, height, width, config.rows, config.columns, parity=self.preset.model.parity
        )

    def _render(
        self,
        field: Field,
        gradient: Tensor | None,
        anchor: View,
        pixels: Tensor,
        sharpness: Tensor,
    ) -> Rendering:
        config, parity = self.preset.render, self.preset.model.parity
        rays = rays_through(pixels, ego_from_image(anchor.image_from_ego).float())
        count = len(rays.origins)
        jitter = torch.rand(count, 1, generator=self.generator)
        bins = stratified_bins(
            intersect_box(rays, field.grid, parity=parity), config.samples, jitter
        )
        return render(
            field,
            gradient,
            rays,
            bins,
            sharpness,
            anneal=min(1.0, self.step / config.anneal_steps),
            background=torch.rand(count, 3, generator=self.generator),
            chunk_rays=len(pixels) if config.checkpoint else None,
            parity=parity,
        )

    def _target(self, anchor: View, pixels: Tensor) -> Target:
        config = self.preset.render
        return read_target(
            colors_of(anchor), pixels, config.rows, config.columns, parity=self.preset.model.parity
        )

    def _photometric(self, target: Target, rendering: Rendering, sources: list[Source]) -> Tensor:
        config, parity = self.preset.losses, self.preset.model.parity
        cameras, rays = target.colors.shape[0], target.colors.shape[2]
        if config.photometric_form == 'reprojection':
            depth = rendering.depth.view(cameras, rays)
            return reprojection_loss(
                target, depth, sources, automask=config.automask, parity=parity
            )
        form = combined_loss if config.photometric_form == 'combined' else separate_loss
        depths = rendering.sample_depths.view(cameras, rays, -1)
        weights = rendering.weights.view(cameras, rays, -1)
        return form(target, depths, weights, sources, automask=config.automask, parity=parity)

    def _semantic(self, probabilities: Tensor, anchor: View, pixels: Tensor) -> Tensor:
        if anchor.labels is None:
            raise SelfOccError(
                f'preset {self.preset.name} learns semantics but the data has no pseudo-labels: '
                'give --config.losses.semantic 0 and --config.model.decoder.class-names'
            )
        labels = read_labels(anchor.labels.long(), pixels, parity=self.preset.model.parity)
        binary = self.preset.losses.semantic_form == 'binary'
        form = binary_cross_entropy_loss if binary else cross_entropy_loss
        return form(probabilities, labels)


def volume_losses(
    preset: Preset,
    field: Field,
    gradient: Tensor | None,
    sample: Sample,
    generator: torch.Generator,
) -> Iterator[tuple[str, Tensor]]:
    """Yield the weighted losses of the field itself, whatever the video shows."""
    config, parity = preset.losses, preset.model.parity
    if config.hessian and gradient is not None:
        hessian = hessian_volume(
            field.sdf, gradient, field.grid, compact=config.compact_hessian, parity=parity
        )
        yield 'hessian', config.hessian * hessian_loss(hessian)
    if config.sparsity and config.sparsity_form == 'nodes':
        yield 'sparsity', config.sparsity * soft_sparsity_loss(field.sdf)
    elif config.sparsity and config.sparsity_form != 'adaptive':
        forms = {
            'soft': soft_sparsity_loss,
            'surface': surface_sparsity_loss,
            'hard': hard_sparsity_loss,
        }
        x, y, z = lattice_cells(field.grid)
        draws = torch.rand(y, x, z, 3, generator=generator)
        points = shifted_lattice(field.grid, draws, parity=parity)
        sdf = uniform_sdf(field, points)
        yield 'sparsity', config.sparsity * forms[config.sparsity_form](sdf)
    if config.swept_volume:
        yield 'swept_volume', config.swept_volume * swept_volume_loss(field, sample.swept)


def with_total(losses: Losses) -> Losses:
    """Return the losses and their sum, ``total``."""
    return losses | {'total': torch.stack(list(losses.values())).sum()}


def colors_of(view: View) -> Tensor:
    """Return the images of a view ``[N, 3, H, W]`` in 0..1."""
    return view.images.permute(0, 3, 1, 2).float() / 255


def ego_from_image(image_from_ego: Tensor) -> Tensor:
    """Invert projections ``[N, 3, 4]``: ``(u z, v z, z, 1)`` to points, ``[N, 4, 4]`` float64."""
    inverse: Tensor = torch.linalg.inv(_square(image_from_ego))
    return inverse


def _square(image_from_ego: Tensor) -> Tensor:
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    last = last.expand(len(image_from_ego), 1, 4)
    return torch.cat([image_from_ego.double(), last], 1)


def _source(anchor: View, source: View) -> Source:
    source_from_anchor = _square(source.image_from_ego) @ ego_from_image(anchor.image_from_ego)
    return Source(colors_of(source), source_from_anchor.float())
