"""A generated world: its static mesh, what moves in it, its light and the ego's path."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from training.data.synthetic.ground import build_ground
from training.data.synthetic.layout import StreetLayout
from training.data.synthetic.meshes import Mesh, concatenate
from training.data.synthetic.raycaster import NO_HIT, RayCaster
from training.data.synthetic.road import RoadPlan, plan_road
from training.data.synthetic.road_paint import paint_road
from training.data.synthetic.style import Surfaces, draw_density, draw_light
from training.data.synthetic.surface_table import surface_table, with_tail, write_rows
from training.data.synthetic.terrain import Terrain
from training.data.synthetic.traffic import (
    Mover,
    companion_vehicles,
    moved,
    oncoming_vehicles,
    walking_people,
)
from training.data.synthetic.trajectory import EgoPath

MAX_DURATION_S = 300.0
BEHIND_M, AHEAD_M, FASTEST_M_S = 95.0, 110.0, 11.0


class World:
    """Everything that a seed decides.

    Args:
        seed: non-negative number of the world.
        duration_s: length of the drive through it in seconds.

    Raises:
        SelfOccError: seed or duration cannot be used.
    """

    def __init__(self, seed: int, duration_s: float) -> None:
        _check(seed, duration_s)
        plan_rng, land_rng, style_rng, layout_rng, traffic_rng, ego_rng = (
            np.random.default_rng([seed, topic]) for topic in range(6)
        )
        plan = plan_road(plan_rng, -BEHIND_M, AHEAD_M + FASTEST_M_S * duration_s)
        self.terrain = Terrain(land_rng, plan)
        surfaces, density = Surfaces(style_rng), draw_density(style_rng)
        self.ego = EgoPath(ego_rng, self.terrain, duration_s)
        layout = StreetLayout(layout_rng, self.terrain, surfaces, density)
        self.static = concatenate([build_ground(self.terrain, surfaces.atlas), *layout.build()])
        self.moving: list[Mover] = [
            *oncoming_vehicles(traffic_rng, self.terrain, surfaces, duration_s),
            *companion_vehicles(traffic_rng, self.terrain, surfaces, self.ego),
            *walking_people(traffic_rng, self.terrain, surfaces, density),
        ]
        paint = paint_road(style_rng, plan)[::-1].astype(np.float64)
        surfaces.atlas.add('paint', paint, (1.0, 1.0))
        repeat_m = surfaces.atlas.material('asphalt', 0).repeat_m
        self.light = draw_light(style_rng, surfaces.atlas, _paint_from_uv(plan, repeat_m))
        self.textures = surfaces.atlas.packed()

    def moving_mesh(self, time_s: float) -> Mesh:
        """Return what moves near the ego at a time in seconds, in world coordinates."""
        return moved(self.moving, self.ego, time_s)


def _check(seed: int, duration_s: float) -> None:
    if seed < 0:
        raise SelfOccError(f'seed {seed} is negative: choose 0 or above')
    if not 0.0 < duration_s <= MAX_DURATION_S:
        raise SelfOccError(
            f'a drive of {duration_s:g} s cannot be generated: choose up to {MAX_DURATION_S:g} s'
        )


def _paint_from_uv(plan: RoadPlan, repeat_m: tuple[float, float]) -> NDArray[np.float64]:
    length, width = plan.end - plan.start, 2 * plan.half_width
    return np.array(
        [repeat_m[1] / width, 0.5, repeat_m[0] / length, -plan.start / length], np.float64
    )


class Scene:
    """A world at a moment, ready for rays. Not shared between threads; the world may be.

    Args:
        world: the world.
        static_caster: caster of the world's static mesh, shared between scenes.
    """

    def __init__(self, world: World, static_caster: RayCaster) -> None:
        self.world = world
        self._static = static_caster
        self._count = len(world.static)
        self._moving = RayCaster(np.zeros((0, 3, 3), np.float32))
        moving_count = sum(mover.size for mover in world.moving)
        self.table = with_tail(surface_table(world.static, world.textures), moving_count)

    def move_to(self, time_s: float) -> None:
        """Put everything that moves where it is at a time in seconds."""
        mesh = self.world.moving_mesh(time_s)
        write_rows(self.table, self._count, surface_table(mesh, self.world.textures))
        self._moving = RayCaster(mesh.vertices.astype(np.float32))

    def cast(
        self, origin: NDArray[np.float32], direction: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Find the nearest triangle of every ray (see `RayCaster.cast`) of `table`."""
        distance, primitive = self._static.cast(origin, direction)
        near, which = self._moving.cast(origin, direction)
        closer = near < distance
        distance[closer] = near[closer]
        primitive[closer] = which[closer] + self._count
        return distance, primitive

    def is_blocked(
        self, origin: NDArray[np.float32], direction: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Return whether anything lies along each ray, [N]."""
        return np.asarray(self.cast(origin, direction)[1] != NO_HIT)
