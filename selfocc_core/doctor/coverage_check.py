"""How much of the model's volume the cameras see, and in which direction they see nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera, Rig
from selfocc_core.doctor.finding import Finding, error, ok, warning
from selfocc_core.model_card import ModelCard
from selfocc_core.preprocess import Preprocessor
from selfocc_core.voxels import VoxelGrid

SECTORS = ('front', 'left', 'back', 'right')

_BLIND = 0.2


def coverage(rig: Rig, card: ModelCard) -> Iterator[Finding]:
    """Yield which share of the model's voxels at least one camera has in its image."""
    grid = card.grid.to_grid()
    visible = _visible(rig, card, grid)
    if not visible.any():
        yield error(
            'coverage',
            f'no camera sees any of the {visible.size} voxels of model {card.name}: correct the '
            'transforms of the cameras',
        )
        return
    shares = {
        name: float(visible[inside].mean())
        for name, inside in zip(SECTORS, _sectors(grid), strict=True)
        if inside.any()
    }
    listed = ', '.join(f'{name} {100 * share:.0f} %' for name, share in shares.items())
    yield ok(
        'coverage',
        f'the cameras see {100 * visible.mean():.0f} % of the volume of model {card.name} '
        f'({listed})',
    )
    for name, share in shares.items():
        if share < _BLIND:
            yield warning(
                'coverage',
                f'{"nothing sees" if share < 0.01 else "hardly anything is seen to"} the {name}: '
                'all there stays unknown; add a camera, or correct the transforms',
            )


def _visible(rig: Rig, card: ModelCard, grid: VoxelGrid) -> NDArray[np.bool_]:
    size = card.input.height, card.input.width
    projections = [Preprocessor(_without_lens(camera), *size).input_from_ego for camera in rig]
    return grid.visible_from(np.stack(projections), size)


def _without_lens(camera: Camera) -> Camera:
    """Return the camera of the undistorted images, whose projection is the same."""
    return replace(camera, distortion_model='none', distortion=())


def _sectors(grid: VoxelGrid) -> list[NDArray[np.bool_]]:
    """Return which columns of voxels ``[X, Y]`` lie within 45° of each direction."""
    x, y = np.meshgrid(grid.axis_centers(0), grid.axis_centers(1), indexing='ij')
    quarter = np.round(np.arctan2(y, x) / (np.pi / 2)).astype(int) % 4
    return [quarter == index for index in range(4)]
