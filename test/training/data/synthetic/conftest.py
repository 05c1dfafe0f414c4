from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from training.data.synthetic.drive import DriveConfig, DriveRenderer
from training.data.synthetic.meshes import Mesh, concatenate
from training.data.synthetic.raycaster import RayCaster
from training.data.synthetic.style import Surfaces, draw_light
from training.data.synthetic.world import Scene, World


@pytest.fixture(scope='session')
def surfaces() -> Surfaces:
    surfaces = Surfaces(np.random.default_rng(0))
    surfaces.atlas.add('paint', np.zeros((4, 4, 4)), (1.0, 1.0))
    return surfaces


@pytest.fixture(scope='session')
def scene_of(surfaces):
    """Make a scene of nothing but one mesh."""

    def make(mesh: Mesh) -> Scene:
        light = draw_light(np.random.default_rng(1), surfaces.atlas, np.zeros(4))
        world = SimpleNamespace(
            static=mesh,
            moving=[],
            moving_mesh=lambda time_s: concatenate([]),
            light=light,
            textures=surfaces.atlas.packed(),
        )
        return Scene(world, RayCaster(mesh.vertices.astype(np.float32)))

    return make


@pytest.fixture(scope='session')
def drive() -> DriveRenderer:
    """Return a street ready to be rendered at 160x90."""
    return DriveRenderer(DriveConfig(seed=3, seconds=2.0, width=160, height=90, workers=1))


@pytest.fixture(scope='session')
def other_world() -> World:
    """Return another street, 6 s long."""
    return World(11, 6.0)
