from __future__ import annotations

import numpy as np
import torch

from benchmarks.limits import (
    Matches,
    TrueFieldBackend,
    above_ground_by_distance,
    misplaced,
    pooled_iou,
    true_field,
)
from selfocc_core.backends import ModelInputs
from selfocc_core.evaluation.occupancy import OccupancyTruth
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.voxels import VoxelGrid
from training.export_parity import example_inputs
from training.presets import PRESETS

PRESET = PRESETS['selfocc-tiny']
GRID = PRESET.output.grid


def wall(grid: VoxelGrid, from_x_m: float) -> OccupancyTruth:
    """Everything beyond a wall is occupied, everything before it is free and seen."""
    occupied = grid.centers()[..., 0] > from_x_m
    everything = np.ones(grid.shape, bool)
    return OccupancyTruth(occupied, everything, np.zeros(grid.shape, bool))


def test_the_true_field_is_the_distance_to_what_is_occupied():
    field = true_field(wall(GRID, 8.0), GRID, PRESET)
    x = field.grid.node_positions()[..., 0]
    inner = x.abs() < 20
    torch.testing.assert_close(field.sdf[inner], (8.0 - x)[inner], atol=0.21, rtol=0)


def test_a_model_that_knows_the_truth_finds_the_wall():
    backend = TrueFieldBackend(PRESET)
    backend.network.field = true_field(wall(GRID, 8.0), GRID, PRESET)
    config = PRESET.model.input
    inputs: ModelInputs = example_inputs(config.cameras, config.height, config.width)
    outputs = backend.infer(inputs)
    occupied = outputs.sdf <= 0
    assert (occupied == wall(GRID, 8.0).occupied).mean() > 0.95
    ahead_m = outputs.depth[0, outputs.depth.shape[1] // 3, outputs.depth.shape[2] // 2]
    assert abs(ahead_m - (8.0 - 1.7)) < 1.5


def post(x_m: float) -> np.ndarray:
    """A voxel above the ground, straight ahead."""
    obstacles = np.zeros(GRID.shape, bool)
    ijk, _ = GRID.indices(np.array([[x_m, 0.1, 1.0]]))
    obstacles[tuple(ijk.T)] = True
    return obstacles


def test_an_obstacle_is_misplaced_by_a_share_of_its_distance():
    moved = misplaced(post(10.2), GRID, 1.2)
    assert moved[np.nonzero(post(12.24))].all()
    assert not moved[np.nonzero(post(10.2))].any()
    assert (misplaced(post(10.2), GRID, 1.0) == post(10.2)).all()


def test_misplaced_obstacles_are_scored_where_they_stand_and_where_they_should():
    everything = np.ones(GRID.shape, bool)
    truth = OccupancyTruth(post(10.2), everything, np.zeros(GRID.shape, bool))
    assert pooled_iou([truth], [post(10.2) | post(15.0)], True) == 0.5
    assert pooled_iou([truth, truth], [post(10.2), post(15.0)], True) == 1 / 3
    near = GRID.centers()[..., 0] < 12.8
    assert pooled_iou([truth], [post(10.2) | post(15.0)], near) == 1.0


def test_matches_above_the_ground_are_scored_by_distance():
    road, vehicle = (CLASS_NAMES.index(name) for name in ('road', 'vehicle'))
    label = np.array([road, vehicle, vehicle, vehicle], np.uint8)
    image = Matches(np.array([9.0, 2.0, 6.0, 7.0]), np.array([2.0, 2.0, 6.0, 5.0]), label)
    bands = above_ground_by_distance([image, image])
    assert bands['0-3 m'] == {
        'pixels': 0.25, 'abs_rel': 0, 'delta1': 1, 'median_rel': 0, 'rmse': 0,
    }  # fmt: skip
    assert (bands['5-8 m']['delta1'], bands['5-8 m']['pixels']) == (0.5, 0.5)
    assert set(bands) == {'0-3 m', '5-8 m'}
