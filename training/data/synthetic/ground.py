"""The ground as a mesh, cut along kerbs and side streets so that each triangle is one material."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selfocc_core.semantics import CLASS_NAMES
from training.data.synthetic.atlas import TextureAtlas
from training.data.synthetic.meshes import Material, Mesh, concatenate, painted
from training.data.synthetic.road import KERB_RAMP_M, RoadPlan
from training.data.synthetic.terrain import Terrain

FloatArray = NDArray[np.float64]
STEP_M = 1.5
HALF_EXTENT_M = 75.0


def build_ground(terrain: Terrain, atlas: TextureAtlas) -> Mesh:
    """Return the ground of the whole world in world coordinates."""
    plan = terrain.plan
    s, d = _stations(plan), _offsets(plan)
    corners = _quads(*np.meshgrid(s, d, indexing='ij'))
    centre = corners.mean(axis=1)
    kind = _kinds(plan, centre[:, 0], centre[:, 1])
    xy = terrain.world_from_road(corners[..., 0], corners[..., 1])
    z = terrain.height(corners[..., 0], corners[..., 1])
    points = np.concatenate([xy, z[..., None]], axis=-1)
    parts = [
        _surface(points[kind == index], corners[kind == index], material)
        for index, material in enumerate(_materials(atlas))
    ]
    return concatenate(parts)


def _materials(atlas: TextureAtlas) -> list[Material]:
    road, sidewalk, land = (CLASS_NAMES.index(n) for n in ('road', 'sidewalk', 'terrain'))
    asphalt = atlas.material('asphalt', road)
    main = Material(asphalt.texture, asphalt.repeat_m, road, paint=1)
    kerb = atlas.material('concrete', sidewalk, (1.2, 1.2, 1.2))
    return [main, asphalt, atlas.material('paving', sidewalk), kerb, atlas.material('grass', land)]


def _kinds(plan: RoadPlan, s: FloatArray, d: FloatArray) -> NDArray[np.int64]:
    """Return the index of the material (see `_materials`) at quad centres."""
    out = np.abs(d)
    side = plan.in_side_street(s, d) >= 1.0
    beside = plan.in_side_street(s, d, margin=2.0) > 0.0
    kerb = plan.in_side_street(s, d) > 0.0
    kerb |= (out > plan.half_width) & (out < plan.half_width + KERB_RAMP_M + 0.14)
    paved = (out < plan.property_line) | beside
    return np.select([out < plan.half_width, side, kerb & paved, paved], [0, 1, 3, 2], 4)


def _stations(plan: RoadPlan) -> FloatArray:
    edges = [
        street.s + sign * (street.half_width + margin)
        for street in plan.side_streets
        for sign in (-1, 1)
        for margin in (0.0, KERB_RAMP_M, 2.0 + KERB_RAMP_M)
    ]
    regular = np.arange(plan.start, plan.end + STEP_M, STEP_M)
    return np.unique(np.concatenate([regular, edges]))


def _offsets(plan: RoadPlan) -> FloatArray:
    kerb, line = plan.half_width, plan.property_line
    half = np.concatenate(
        [
            np.arange(0.75, kerb, 1.5),
            [kerb, kerb + KERB_RAMP_M, kerb + KERB_RAMP_M + 0.14, (kerb + line) / 2, line],
            np.arange(line + 1.5, line + 16, 1.5),
            np.arange(line + 18, HALF_EXTENT_M, 6.0),
        ]
    )
    return np.concatenate([-half[::-1], [0.0], half])


def _quads(s: FloatArray, d: FloatArray) -> FloatArray:
    grid = np.stack([s, d], axis=-1)
    corners = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=2)
    return corners.reshape(-1, 4, 2)


def _surface(points: FloatArray, uv_m: FloatArray, material: Material) -> Mesh:
    split = [[0, 1, 2], [0, 2, 3]]
    return painted(points[:, split].reshape(-1, 3, 3), uv_m[:, split].reshape(-1, 3, 2), material)
