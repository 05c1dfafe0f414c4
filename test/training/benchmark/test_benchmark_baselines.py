from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.errors import SelfOccError
from training.benchmark import training_maps as maps_module
from training.benchmark.baselines import DESCRIPTIONS, baselines
from training.benchmark.training_maps import (
    THRESHOLDS,
    TrainingMaps,
    VoxelCounts,
    _above_thresholds,
    _median,
    best_threshold,
    training_maps,
)
from training.benchmark.views import ego_points, lattice_rays, on_lattice


@pytest.fixture(scope='module')
def maps(cache, small_worlds):
    return training_maps((6, 7), small_worlds, cache)


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20),
    st.lists(st.integers(0, 9), min_size=20, max_size=20),
)
def test_weight_above_each_threshold(shares, weights):
    share = np.array(shares, np.float32)
    weight = np.array(weights[: len(shares)], np.uint8)
    expected = [weight[share > threshold].sum() for threshold in THRESHOLDS]
    np.testing.assert_array_equal(_above_thresholds(share, weight), expected)


def test_the_threshold_is_the_best_for_worlds_that_the_map_does_not_know():
    rng, shape = np.random.default_rng(1), (10, 10, 10)
    likely = rng.random(shape)
    true = [rng.random(shape) < likely for _ in range(6)]
    scored = [rng.random(shape) < 0.8 for _ in range(6)]
    counts, scores = VoxelCounts(), VoxelCounts()
    domains = [s & (rng.random(shape) < 0.5) for s in scored]
    for t, s, d in zip(true, scored, domains, strict=True):
        counts.add([(t & s, s)])
        scores.add([(t & d, d)])

    def iou(threshold):
        hits = union = 0
        for w in range(6):
            others = [k for k in range(6) if k != w]
            seen = np.maximum(sum(scored[k].astype(int) for k in others), 1)
            share = sum((true[k] & scored[k]).astype(int) for k in others) / seen
            claimed = (share > threshold) & domains[w]
            hits += (claimed & true[w]).sum()
            union += (claimed | (true[w] & domains[w])).sum()
        return hits / union

    best = max(iou(threshold) for threshold in THRESHOLDS)
    assert iou(best_threshold(counts, scores)) == pytest.approx(best)


def test_median_leaves_out_what_is_not_in_the_volume():
    nan = np.nan
    depths = np.array([[nan, 5, nan], [nan, 3, 2], [nan, 9, nan]], np.float32)
    np.testing.assert_array_equal(_median(depths), [np.inf, 5, 2])


@pytest.mark.slow
def test_maps_are_made_once(maps, cache, small_worlds, monkeypatch):
    monkeypatch.setattr(maps_module, 'truths', None)
    again = training_maps((6, 7), small_worlds, cache)
    assert again.seeds == maps.seeds == (6, 7)
    np.testing.assert_array_equal(again.occupied_share, maps.occupied_share)
    assert again.threshold == maps.threshold
    assert again.obstacle_threshold == maps.obstacle_threshold
    assert again.median_depth_m.keys() == maps.median_depth_m.keys()
    with pytest.raises(TypeError):  # other worlds of the same number need to be made
        training_maps((6, 8), small_worlds, cache)


def test_a_damaged_file_of_maps_is_named(tmp_path, small_worlds):
    path = tmp_path / small_worlds.folder / 'maps-6-2.npz'
    path.parent.mkdir()
    for content in (b'nothing of the kind', b'PK\x03\x04 cut off'):
        path.write_bytes(content)
        with pytest.raises(SelfOccError, match='is damaged: remove it'):
            training_maps((6, 7), small_worlds, tmp_path)
    np.savez(path, seeds=np.array([6, 7]), thresholds=np.array([{}], object), allow_pickle=True)
    with pytest.raises(SelfOccError, match='is damaged: remove it'):
        training_maps((6, 7), small_worlds, tmp_path)


@pytest.mark.slow
def test_maps_of_streets_look_like_a_street(maps, small_worlds):
    grid = small_worlds.grid
    occupied = maps.occupied(maps.threshold)
    ahead = grid.indices((8.0, 0.0, -0.2))[0]
    assert occupied[tuple(ahead)]  # road
    assert not occupied[ahead[0], ahead[1], ahead[2] + 4 :].any()  # and nothing over it
    assert maps.obstacle_threshold in THRESHOLDS
    assert 0.9 < maps.occupied_share.max() <= 1


def wall_maps(settings):
    """Maps of worlds with a wall 10 m ahead, and of others with something at 6 m everywhere."""
    wall = np.zeros(settings.grid.shape, np.float32)
    centers = settings.grid.centers()
    wall[(centers[..., 0] > 10) & (centers[..., 0] < 11)] = 1
    depth_m = on_lattice(np.full((settings.height, settings.width), 6, np.float32)).copy()
    depth_m[0] = np.inf
    every_camera = dict.fromkeys(settings.rig().names, depth_m)
    return TrainingMaps((1,), wall * 0.7, 0.5, 0.8, every_camera)


def test_what_baselines_say(small_worlds):
    rig, grid = small_worlds.rig(), small_worlds.grid
    said = baselines(rig, grid, wall_maps(small_worlds))
    assert said.keys() == DESCRIPTIONS.keys()
    heights = grid.centers()[..., 2]
    np.testing.assert_array_equal(said['below_road'].occupied, heights < 0)
    surface = said['flat_ground'].occupied
    np.testing.assert_array_equal(surface, (heights < 0) & (heights > -0.4))
    camera = rig['front']
    # Depth from the mean map ends at the front of the wall.
    points = ego_points(camera, said['mean_map'].depth_m['front'])
    ahead = (np.abs(points[..., 1]) < 5) & (np.abs(points[..., 2]) < 1.9)
    np.testing.assert_allclose(points[ahead][:, 0], 10.0, atol=1e-6)
    # An empty map sees to the exit; the median map is at 6 m or at the exit.
    assert said['mean_map_obstacles'].depth_m['front'].min() > 7
    median_m = said['median_depth'].depth_m['front']
    assert (median_m[1:] == 6).all()
    np.testing.assert_array_equal(median_m[0], said['mean_map_obstacles'].depth_m['front'][0])
    # Flat ground, where a ray meets it within the volume.
    rays = lattice_rays(camera) @ camera.ego_from_camera[:3, :3].T
    down = rays[-1, :, 2] < 0
    expected = -camera.ego_from_camera[2, 3] / rays[-1, down, 2]
    np.testing.assert_allclose(said['flat_ground'].depth_m['front'][-1, down], expected)
