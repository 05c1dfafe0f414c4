from __future__ import annotations

import numpy as np
import pytest

from training.data.synthetic.world import World


@pytest.fixture
def world(other_world) -> World:
    return other_world


def test_kerb_is_a_step(world):
    plan = world.terrain.plan
    s = next(s for s in np.arange(5.0, 60.0) if plan.is_clear(float(s), 1, 3.0))
    low, high = world.terrain.height(s, np.array([plan.half_width, plan.half_width + 0.02]))
    assert high - low == pytest.approx(plan.kerb_height, abs=0.01)


def test_road_is_not_flat_but_stays_near_the_ego_plane(world):
    d = np.linspace(-world.terrain.plan.half_width, world.terrain.plan.half_width, 9)
    spread = []
    for time_s in np.linspace(0.0, 6.0, 7):
        here = world.ego.station(float(time_s))
        s, across = np.meshgrid(np.linspace(here - 25, here + 25, 26), d)
        xy = world.terrain.world_from_road(s, across)
        points = np.concatenate([xy, world.terrain.height(s, across)[..., None]], axis=-1)
        pose = world.ego.world_from_ego(float(time_s))
        above = (points - pose[:3, 3]) @ pose[:3, 2]
        assert np.abs(above).max() < 1.5
        spread.append(above.std())
    assert np.mean(spread) > 0.04


def test_ego_stands_on_the_road_and_keeps_its_speed(world):
    for time_s in np.linspace(0.0, 6.0, 13):
        pose = world.ego.world_from_ego(float(time_s))
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
        step = world.ego.world_from_ego(float(time_s) + 0.1)[:3, 3] - pose[:3, 3]
        assert 0.38 < np.linalg.norm(step) < 1.12
        assert step @ pose[:3, 0] > 0.99 * np.linalg.norm(step)
        height = world.terrain.height(world.ego.station(float(time_s)), -1.6)
        assert pose[2, 3] == pytest.approx(float(height), abs=0.05)
