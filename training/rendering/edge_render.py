"""Volume rendering of the small presets and of the exported model: weights between samples.

Differs from ``render``, the paper's, where a small network on a CPU needs it: samples lie evenly
in the logarithm of the distance as far as a ray can meet something, so that few of them serve near
and far; weights come from neighbouring distances alone, without a gradient volume; what lies
beyond the volume is a background with a weight of its own; and the ground goes on below the floor
of the volume.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from training.field import Field
from training.grid import NodeGrid
from training.rendering.color import color_of
from training.rendering.edge_density import density_to_weights
from training.rendering.rays import Rays
from training.rendering.sampling import extended_sdf, inside, sample_volume
from training.rendering.weights import RayWeights, bin_centers, sdf_to_weights

# The last sample lies just within the volume, and below the floor at half the way to it once more.
_BEFORE_THE_EXIT, _INTO_THE_GROUND = 0.999, 1.5


class EdgeRendering(NamedTuple):
    """What a ray meets.

    Attributes:
        weights: Of the bins ``[R, S]``.
        background: Weight of what lies beyond the volume ``[R]``.
        points: Where the bins are ``[R, S, 3]``, in the ego frame.
        depth: Expected depth along the optical axis ``[R]`` in metres; the background counts as
            lying where the ray leaves the volume.
        color: Expected colour ``[R, 3]`` without background.
        semantics: Expected probability of each class ``[R, classes]`` without background; ``None``
            of a field without classes.
    """

    weights: Tensor
    background: Tensor
    points: Tensor
    depth: Tensor
    color: Tensor
    semantics: Tensor | None = None


def render_edges(
    field: Field,
    rays: Rays,
    distances: Tensor,
    sharpness: Tensor | float,
    form: Literal['neus', 'density'] = 'neus',
) -> EdgeRendering:
    """Render rays with samples at Euclidean distances ``[R, S]`` from the camera.

    Args:
        field: What is rendered.
        rays: Through the pixels.
        distances: Of the samples, in metres.
        sharpness: ``inv_s`` in 1/m.
        form: Whether channel 0 is a signed distance (``neus``) or a density.
    """
    depths = distances / rays.directions.norm(dim=-1, keepdim=True)
    points = along(rays, depths)
    values = sample_volume(field.sdf[None], points, field.grid)[0]
    weights, background = edge_weights(values, points, distances, field.grid, sharpness, form)
    centers = bin_centers(depths)
    middles = along(rays, centers)
    raw = sample_volume(field.volume[1:], middles, field.grid)
    color = color_of(raw[: field.color_channels])
    classes = raw[field.color_channels :].softmax(0)
    exits = torch.minimum(exit_depth(rays, field.grid), depths[:, -1])
    depth = (weights * centers).sum(1) + background * exits
    return EdgeRendering(
        weights,
        background,
        middles,
        depth,
        (weights * color).sum(-1).T,
        (weights * classes).sum(-1).T if len(classes) else None,
    )


def edge_weights(
    values: Tensor,
    points: Tensor,
    distances: Tensor,
    grid: NodeGrid,
    sharpness: Tensor | float,
    form: Literal['neus', 'density'],
) -> RayWeights:
    """Return the weights of the bins between samples of channel 0 ``[R, S]``.

    Below the floor of the volume both forms go on as ever deeper ground.

    Args:
        values: At the samples ``[R, S]``.
        points: The samples ``[R, S, 3]``.
        distances: Their Euclidean distances from the camera ``[R, S]`` or ``[S]``, in metres.
        grid: Of the field.
        sharpness: ``inv_s`` in 1/m.
        form: Signed distance (``neus``) or density.
    """
    values, within = extended_sdf(values, points, grid), inside(points, grid)
    if form == 'density':
        return density_to_weights(values, within, distances, sharpness)
    return sdf_to_weights(values, within, sharpness)


def along(rays: Rays, depths: Tensor) -> Tensor:
    """Return the points ``[R, S, 3]`` at depths ``[R, S]``."""
    return rays.origins[:, None] + depths[..., None] * rays.directions[:, None]


def exit_depth(rays: Rays, grid: NodeGrid) -> Tensor:
    """Return the depth ``[R]`` at which rays leave the volume through its sides or ceiling."""
    directions = torch.where(rays.directions.abs() < 1e-6, 1e-6, rays.directions)
    low, high = torch.tensor(grid.minimum_m), torch.tensor(grid.maximum_m)
    wall = torch.where(directions > 0, high, low)
    depths = (wall - rays.origins) / directions
    # Downwards there is no exit: below the floor the ground goes on.
    upward = torch.where(directions[:, 2] > 0, depths[:, 2], 1e6)
    return torch.minimum(depths[:, :2].amin(1), upward).clamp(min=0)


def last_distance(rays: Rays, grid: NodeGrid, near_m: float, far_m: float) -> Tensor:
    """Return how far rays ``[R]`` are worth sampling, as a Euclidean distance in metres.

    That is up to the exit from the volume. Rays that go down end in the ground that goes on below
    the floor: so deep that nothing of them is left, however blurry surfaces are.

    Args:
        rays: Through the pixels.
        grid: Of the field.
        near_m: Distance of the first sample; the last one is at least twice as far, also where a
            camera stands at the volume's edge.
        far_m: The last one is at most here.
    """
    down = (-rays.directions[:, 2]).clamp(min=1e-6)
    to_floor = ((rays.origins[:, 2] - grid.minimum_m[2]) / down).clamp(min=0)
    depths = torch.minimum(_BEFORE_THE_EXIT * exit_depth(rays, grid), _INTO_THE_GROUND * to_floor)
    return (depths * rays.lengths()[:, 0]).clamp(2 * near_m, far_m)
