from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from selfocc_core.errors import SelfOccError
from training.config import VolumeFrame
from training.deployed import DeployedModel
from training.field import Field
from training.grid import Axis, NodeGrid
from training.model.selfocc import SelfOcc
from training.presets import PRESETS


@pytest.mark.parametrize('axes', ['ahead_left', 'right_ahead'])
@pytest.mark.parametrize('outer', [(0, 0.0), (2, 8.0)])
def test_voxels_read_the_field_where_they_are_in_the_ego_frame(small_preset, axes, outer):
    frame = VolumeFrame(axes, (0.9, -0.3, 1.7))
    grid = NodeGrid(Axis(8, 8.0, *outer), Axis(9, 9.0, *outer), Axis(8, 4.0, 0, 0.0, -2.0, False))
    preset = replace(
        small_preset,
        model=replace(small_preset.model, grid=grid, frame=frame),
        output=replace(small_preset.output, grid=frame.voxels_over(grid, (12, 10, 6))),
    )
    deployed = DeployedModel(SelfOcc(preset.model), preset)
    # A field that is linear in the ego frame: interpolation must give it back everywhere.
    slope = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
    nodes = grid.subdivided_z(preset.model.decoder.subdivide_z).node_positions().double()
    ego_from_volume = torch.tensor(frame.ego_from_volume, dtype=torch.float64)
    in_ego = nodes @ ego_from_volume[:3, :3].T + ego_from_volume[:3, 3]
    field = Field((in_ego @ slope)[None].float(), grid)
    expected = preset.output.grid.centers() @ slope.numpy()
    np.testing.assert_allclose(deployed._voxels(field).numpy(), expected, atol=1e-3)


def test_a_volume_that_looks_ahead_lies_ahead_of_the_vehicle():
    preset = PRESETS['semantickitti_occ']
    assert preset.output.grid.minimum_m == pytest.approx((0.0, -25.6, -0.27))
    assert preset.output.grid.maximum_m == pytest.approx((51.2, 25.6, 6.13))
    ego_from_volume = np.array(preset.model.frame.ego_from_volume)
    np.testing.assert_allclose(ego_from_volume @ [2.0, 10.0, -1.73, 1], [10.0, -2.0, 0.0, 1])
    np.testing.assert_allclose(np.linalg.det(ego_from_volume), 1.0)


def test_a_density_is_not_exported(small_preset):
    method = PRESETS['method_tiny']
    losses = replace(method.losses, eikonal=0.0, hessian=0.0)
    density = replace(method, losses=losses, render=replace(method.render, weights='density'))
    with pytest.raises(SelfOccError, match='density'):
        DeployedModel(SelfOcc(density.model), density)
