from __future__ import annotations

import numpy as np

from training.data.synthetic.traffic import companion_vehicles, moved


def test_companions_never_touch_the_ego(other_world, surfaces):
    count = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        movers = companion_vehicles(rng, other_world.terrain, surfaces, other_world.ego)
        count += len(movers)
        for time_s in np.linspace(0.0, 6.0, 13):
            here = other_world.ego.station(float(time_s))
            for mover in movers:
                assert 12.0 < abs(mover.station(float(time_s)) - here) < 50.0
    assert count > 5


def test_far_movers_are_left_out(other_world):
    mesh = moved(other_world.moving, other_world.ego, 2.0)
    here = other_world.ego.world_from_ego(2.0)[:2, 3]
    distance = np.linalg.norm(mesh.vertices[..., :2] - here, axis=-1)
    assert 0 < len(mesh) < sum(mover.size for mover in other_world.moving)
    assert distance.max() < 110.0


def test_nothing_that_moves_is_inside_the_ego(other_world):
    for time_s in np.linspace(0.0, 6.0, 13):
        world_from_ego = other_world.ego.world_from_ego(float(time_s))
        mesh = moved(other_world.moving, other_world.ego, float(time_s))
        points = (mesh.vertices.reshape(-1, 3) - world_from_ego[:3, 3]) @ world_from_ego[:3, :3]
        inside = (np.abs(points[:, 0] - 1.4) < 2.4) & (np.abs(points[:, 1]) < 0.95)
        assert not inside.any()
