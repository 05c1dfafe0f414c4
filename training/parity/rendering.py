"""Rendering and losses beside the recorded arrays.

Every function takes the volume that the network decoded, or the one that is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from training.field import Field
from training.losses.eikonal import eikonal_loss
from training.losses.hessian import hessian_loss
from training.losses.images import read_pixels
from training.losses.photometric import (
    Source,
    Target,
    combined_loss,
    read_target,
    separate_loss,
)
from training.losses.rgb import color_loss
from training.losses.semantics import cross_entropy_loss, read_labels
from training.losses.smoothness import edge_aware_smoothness
from training.losses.sparsity import (
    adaptive_sparsity_loss,
    hard_sparsity_loss,
    shifted_lattice,
    soft_sparsity_loss,
    surface_sparsity_loss,
    uniform_sdf,
)
from training.parity.comparison import FORWARD, GRADIENT, Comparison, relative_error
from training.parity.recording import Phase, Recording
from training.rendering.bins import stratified_bins
from training.rendering.box import intersect_box
from training.rendering.derivatives import gradient_volume, hessian_volume
from training.rendering.lattice import cellular_lattice, fixed_lattice
from training.rendering.rays import Rays, rays_through
from training.rendering.render import Rendering, render

ANNEAL = 2501 / 5000
"""The training arrays belong to iteration 2501."""


class Rendered(NamedTuple):
    """A volume, its derivatives and what the recorded rays meet in it.

    Attributes:
        volume: ``[1 + C, Y, X, Z]``.
        gradient: ``[3, Y, X, Z]``.
        hessian: ``[3, 3, Y, X, Z]``.
        rendering: Of the rays of all cameras.
        uniform: Distance on the shifted lattice, or None if it is not recorded.
    """

    volume: Tensor
    gradient: Tensor
    hessian: Tensor
    rendering: Rendering
    uniform: Tensor | None


def recorded_volume(recording: Recording, phase: Phase) -> Tensor:
    """Return the recorded volume ``[1 + C, Y, X, Z]``, a leaf that requires a gradient."""
    return recording.tensor(f'{phase}/volume')[0].requires_grad_()


def recorded_variance(recording: Recording, phase: Phase) -> Tensor:
    """Return ``v [1]`` of the recorded ``inv_s = exp(10 v)``, a leaf that requires a gradient."""
    return (recording.tensor(f'{phase}/inv_s').log() / 10).reshape(1).requires_grad_()


def lattice_pixels(recording: Recording, phase: Phase) -> Tensor:
    """Return the pixels ``[P, 2]`` of the rays, from the recorded draws."""
    height, width = recording.setting('model', 'head', 'ray_img_size')
    rows, columns = recording.setting('model', 'head', 'ray_number')
    if phase == 'eval':
        return fixed_lattice(height, width, rows, columns, parity=True)
    draws = torch.from_numpy(recording.array('train/np_uniform'))
    return cellular_lattice(draws, height, width, rows, columns, parity=True).float()


def cast(recording: Recording, phase: Phase) -> Rays:
    """Return the rays of all cameras."""
    pixels = lattice_pixels(recording, phase)
    return rays_through(pixels, recording.tensor('in/meta_temImg2lidar'))


def render_volume(
    recording: Recording, phase: Phase, volume: Tensor, variance: Tensor
) -> Rendered:
    """Render the recorded rays in a volume ``[1 + C, Y, X, Z]`` with the recorded draws."""
    grid, rays = recording.grid, cast(recording, phase)
    gradient = gradient_volume(volume[0], grid, parity=True)
    compact = bool(recording.setting('model', 'head', 'use_compact_2nd_grad'))
    hessian = hessian_volume(volume[0], gradient, grid, compact=compact, parity=True)
    training = phase == 'train'
    bins = stratified_bins(
        intersect_box(rays, grid, parity=True),
        int(recording.setting('model', 'head', 'num_samples')),
        recording.tensor('train/rand_0') if training else None,
    )
    rendering = render(
        Field(volume, grid, min(3, len(volume) - 1)),
        gradient,
        rays,
        bins,
        (10 * variance).exp().squeeze(),
        anneal=ANNEAL if training else 1.0,
        background=recording.tensor('train/rand_1' if training else 'eval/rand_0'),
        parity=True,
    )
    return Rendered(volume, gradient, hessian, rendering, _uniform(recording, phase, volume))


def _uniform(recording: Recording, phase: Phase, volume: Tensor) -> Tensor | None:
    if f'{phase}/uniform_sdf' not in recording:
        return None
    draws = recording.tensor('train/rand_2' if phase == 'train' else 'eval/rand_1')
    cell_m = float(recording.setting('model', 'head', 'resolution'))
    points = shifted_lattice(recording.grid, draws, cell_m, parity=True)
    return uniform_sdf(Field(volume, recording.grid), points)


def compare_lattice(recording: Recording, phase: Phase) -> Iterator[Comparison]:
    """Compare the pixels of the rays."""
    pixels = lattice_pixels(recording, phase)
    yield from _compare(recording, phase, {'rays_px': pixels})


def compare_rays(recording: Recording, phase: Phase) -> Iterator[Comparison]:
    """Compare rays, the box they cross and the bins in it; none of it needs the volume."""
    grid, rays = recording.grid, cast(recording, phase)
    interval = intersect_box(rays, grid, parity=True)
    jitter = recording.tensor('train/rand_0') if phase == 'train' else None
    samples = int(recording.setting('model', 'head', 'num_samples'))
    bins = stratified_bins(interval, samples, jitter)
    actual = {
        'origin': rays.origins,
        'direction': rays.unit_directions(),
        'direction_norm': rays.lengths(),
        'near': interval.near,
        'far': interval.far,
        't_start': bins.starts,
        't_end': bins.ends,
    }
    yield from _compare(recording, phase, actual)


def compare_derivatives(
    recording: Recording, phase: Phase, rendered: Rendered
) -> Iterator[Comparison]:
    """Compare gradient and Hessian volumes."""
    actual = {'grad': rendered.gradient, 'grad2': rendered.hessian}
    yield from _compare(recording, phase, actual)


def compare_rendering(
    recording: Recording, phase: Phase, rendered: Rendered, *, decoded: bool = False
) -> Iterator[Comparison]:
    """Compare what is sampled on the rays and what is composed of it.

    Args:
        recording: The recorded arrays.
        phase: Evaluation or training.
        rendered: Of the recorded volume, or of one that the network decoded.
        decoded: Whether it is the latter. Then normals are compared in proportion to the
            accumulation of their rays: where next to nothing accumulates, the direction of its
            sum magnifies the last digits of the volume a thousandfold.
    """
    rendering = rendered.rendering
    actual = {
        'sample_sdf': rendering.sdf,
        'alpha': rendering.alpha,
        'weights': rendering.weights,
        'depth': _by_camera(recording, rendering.depth),
        'acc': _by_camera(recording, rendering.accumulation),
    }
    if rendering.color is not None:
        actual['rgb'] = _color(recording, phase, rendering.color)
    if rendering.semantics is not None:
        actual['sem'] = _by_camera(recording, rendering.semantics)
    if rendered.uniform is not None:
        actual['uniform_sdf'] = rendered.uniform
    yield from _compare(recording, phase, actual)
    if f'{phase}/normal' in recording:
        share = rendering.accumulation.detach()[:, None] if decoded else torch.ones(1)
        expected = recording.array(f'{phase}/normal') * share.numpy()
        yield Comparison(f'{phase}/normal', relative_error(rendering.normals() * share, expected))


def losses(recording: Recording, phase: Phase, rendered: Rendered) -> dict[str, Tensor]:
    """Return every recorded loss without its weight, under the original's names."""
    values = {
        **_photometric_losses(recording, phase, rendered.rendering),
        **_ray_losses(recording, phase, rendered.rendering),
        'EikonalLoss': _eikonal(rendered),
        'SecondGradLoss': hessian_loss(rendered.hessian),
    }
    if rendered.uniform is not None:
        values['SoftSparsityLoss'] = soft_sparsity_loss(rendered.uniform)
        values['SparsityLoss'] = surface_sparsity_loss(rendered.uniform)
        values['HardSparsityLoss'] = hard_sparsity_loss(rendered.uniform)
    return values


def _photometric_losses(
    recording: Recording, phase: Phase, rendering: Rendering
) -> dict[str, Tensor]:
    target = _target(recording, phase)
    sources = [
        Source(recording.tensor(f'in/{name}_imgs')[0], recording.tensor(f'in/meta_img2{name}Img'))
        for name in ('prev', 'next')
    ]
    depths = _by_camera(recording, rendering.sample_depths)
    weights = _by_camera(recording, rendering.weights)

    def loss(form: Callable[..., Tensor], *, automask: bool) -> Tensor:
        return form(target, depths, weights, sources, automask=automask, parity=True)

    return {
        'ReprojLossMonoMultiNewCombine': loss(combined_loss, automask=True),
        'ReprojLossMonoMultiNew': loss(separate_loss, automask=True),
        'ReprojLossMonoMultiNewCombine_noautomask': loss(combined_loss, automask=False),
        'ReprojLossMonoMultiNew_noautomask': loss(separate_loss, automask=False),
    }


def _ray_losses(recording: Recording, phase: Phase, rendering: Rendering) -> dict[str, Tensor]:
    depth = _by_camera(recording, rendering.depth)
    values = {
        'EdgeLoss3DMS': edge_aware_smoothness(depth, _target(recording, phase, border=True)),
        'AdaptiveSparsityLoss': adaptive_sparsity_loss(
            rendering.sdf, rendering.sample_depths, rendering.depth
        ),
    }
    if rendering.color is not None:
        color = _color(recording, phase, rendering.color)
        values['RGBLossMS'] = color_loss(color, _target(recording, phase))
    if rendering.semantics is not None and 'in/meta_sem' in recording:
        labels = torch.from_numpy(recording.array('in/meta_sem'))
        values['SemCELossMS'] = cross_entropy_loss(
            _by_camera(recording, rendering.semantics),
            read_labels(labels, lattice_pixels(recording, phase), parity=True),
        )
    return values


def _eikonal(rendered: Rendered) -> Tensor:
    assert rendered.rendering.gradient is not None  # noqa: S101 - rendered with a gradient volume
    return eikonal_loss(rendered.rendering.gradient, rendered.gradient)


def loss_weight(recording: Recording, phase: Phase, name: str) -> float:
    """Return the weight of a loss: its recorded value with the weight over the one without."""
    raw = float(recording.array(f'{phase}/loss_{name}'))
    weighted = float(recording.array(f'{phase}/loss_{name}_weighted'))
    return float(f'{weighted / raw:.5g}') if raw else 0.0


def total_loss(recording: Recording, phase: Phase, values: dict[str, Tensor]) -> Tensor:
    """Return the weighted sum of the losses of the configuration that was recorded.

    Surround cameras combine the sources, a single one takes the better. Of the losses that only
    some configurations use, the sum has semantics and soft sparsity where they are recorded.
    """
    surround = recording.setting('dataset') == 'nuscenes'
    photometric = 'ReprojLossMonoMultiNew' + ('Combine' if surround else '')
    others = ['RGBLossMS', 'EikonalLoss', 'SecondGradLoss', 'SemCELossMS', 'SoftSparsityLoss']
    parts = [
        loss_weight(recording, phase, name) * values[name]
        for name in (photometric, *others)
        if name in values and f'{phase}/loss_{name}' in recording
    ]
    return torch.stack(parts).sum()


def compare_losses(recording: Recording, phase: Phase, rendered: Rendered) -> Iterator[Comparison]:
    """Compare every loss, and their sum. A recorded loss that is not known here disagrees."""
    values = losses(recording, phase, rendered)
    yield from _compare(recording, phase, {f'loss_{name}': v for name, v in values.items()})
    yield from _compare(recording, phase, {'loss_total': total_loss(recording, phase, values)})
    for key in recording.arrays:
        name = key.removeprefix(f'{phase}/loss_').removesuffix('_weighted')
        if key.startswith(f'{phase}/loss_') and name not in {*values, 'total'}:
            yield Comparison(key, float('inf'))


def compare_loss_gradients(
    recording: Recording, rendered: Rendered, variance: Tensor
) -> Iterator[Comparison]:
    """Compare the gradients of the weighted losses of training.

    Args:
        recording: The recorded arrays.
        rendered: Of a volume that requires a gradient.
        variance: ``v`` that it was rendered with, which requires one too.
    """
    for name, value in losses(recording, 'train', rendered).items():
        if f'train/dvol_{name}' not in recording:
            continue
        weighted = loss_weight(recording, 'train', name) * value
        of_volume, of_variance = torch.autograd.grad(
            weighted,
            [rendered.volume, variance],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        actual = {f'dvol_{name}': of_volume, f'dvar_{name}': of_variance}
        yield from _compare(recording, 'train', actual, GRADIENT)


def compare_all(
    recording: Recording, phase: Phase, volume: Tensor, variance: Tensor, *, decoded: bool = False
) -> Iterator[Comparison]:
    """Compare everything behind the decoder.

    Args:
        recording: The recorded arrays.
        phase: Evaluation or training.
        volume: ``[1 + C, Y, X, Z]``, which requires a gradient in training.
        variance: ``v [1]``, the same.
        decoded: See ``compare_rendering``.
    """
    yield from compare_lattice(recording, phase)
    yield from compare_rays(recording, phase)
    rendered = render_volume(recording, phase, volume, variance)
    yield from compare_derivatives(recording, phase, rendered)
    yield from compare_rendering(recording, phase, rendered, decoded=decoded)
    yield from compare_losses(recording, phase, rendered)
    if phase == 'train':
        yield from compare_loss_gradients(recording, rendered, variance)


def _compare(
    recording: Recording, phase: Phase, actual: dict[str, Tensor], tolerance: float = FORWARD
) -> Iterator[Comparison]:
    """Compare what is recorded of some arrays."""
    for name, value in actual.items():
        key = f'{phase}/{name}'
        if key in recording:
            yield Comparison(key, relative_error(value, recording.array(key)), tolerance)


def _by_camera(recording: Recording, values: Tensor) -> Tensor:
    """Arrange values of all rays ``[N P, ...]`` by camera ``[N, P, ...]``."""
    cameras = len(recording.array('in/meta_temImg2lidar'))
    return values.view(cameras, -1, *values.shape[1:])


def _color(recording: Recording, phase: Phase, color: Tensor) -> Tensor:
    """Return colours by camera; the original clamps them in evaluation."""
    return _by_camera(recording, color.clamp(0, 1) if phase == 'eval' else color)


def _target(recording: Recording, phase: Phase, *, border: bool = False) -> Target:
    rows, columns = recording.setting('model', 'head', 'ray_number')
    images, pixels = recording.tensor('in/curr_imgs')[0], lattice_pixels(recording, phase)
    target = read_target(images, pixels, rows, columns, parity=True)
    if not border:
        return target
    places = pixels.expand(len(images), -1, -1)
    return target._replace(colors=read_pixels(images, places, border=True, parity=True))
