from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from selfocc_core.backends import open_backend
from selfocc_core.errors import SelfOccError
from selfocc_core.voxels import VoxelGrid
from training.checkpoint import Checkpoint
from training.config import VolumeFrame
from training.deployed import DeployedModel
from training.export import Export
from training.export_parity import example_inputs
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
        model=replace(
            small_preset.model,
            grid=grid,
            frame=frame,
            decoder=replace(small_preset.model.decoder, subdivide_xy=1),
        ),
        output=replace(small_preset.output, grid=frame.voxels_over(grid, (12, 10, 6))),
    )
    deployed = DeployedModel(SelfOcc(preset.model), preset)
    # A field that is linear in the ego frame: interpolation must give it back everywhere.
    slope = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
    nodes = preset.model.field_grid.node_positions().double()
    ego_from_volume = torch.tensor(frame.ego_from_volume, dtype=torch.float64)
    in_ego = nodes @ ego_from_volume[:3, :3].T + ego_from_volume[:3, 3]
    field = Field((in_ego @ slope)[None].float(), grid)
    expected = preset.output.grid.centers() @ slope.numpy()
    np.testing.assert_allclose(deployed._voxels(field.sdf).numpy(), expected, atol=1e-3)


def test_a_volume_that_looks_ahead_lies_ahead_of_the_vehicle():
    preset = PRESETS['semantickitti_occ']
    assert preset.output.grid.minimum_m == pytest.approx((0.0, -25.6, -0.27))
    assert preset.output.grid.maximum_m == pytest.approx((51.2, 25.6, 6.13))
    ego_from_volume = np.array(preset.model.frame.ego_from_volume)
    np.testing.assert_allclose(ego_from_volume @ [2.0, 10.0, -1.73, 1], [10.0, -2.0, 0.0, 1])
    np.testing.assert_allclose(np.linalg.det(ego_from_volume), 1.0)


def as_density(preset):
    losses = replace(preset.losses, eikonal=0.0, hessian=0.0)
    return replace(preset, losses=losses, render=replace(preset.render, weights='density'))


def test_a_density_is_not_exported(small_preset, tmp_path):
    preset = as_density(small_preset)
    weights = SelfOcc(preset.model).state_dict()
    Checkpoint(preset, 0, 0, 'none', 'none', weights, {}).save(tmp_path / 'model.ckpt')
    with pytest.raises(SelfOccError, match='density'):
        Export(tmp_path / 'model.ckpt', tmp_path / 'model.onnx').run()
    assert not (tmp_path / 'model.onnx').exists()


def test_the_level_of_a_density_is_minus_the_opacity_of_a_voxel(small_preset):
    preset = as_density(small_preset)
    deployed = DeployedModel(SelfOcc(preset.model), preset)
    grid = preset.model.field_grid
    values = torch.full(grid.node_positions().shape[:3], -0.02)
    level = deployed._level(Field(values[None], grid))
    density = np.log1p(np.exp(0.02 * preset.render.sharpness_end))
    edge_m = preset.output.grid.voxel_size_m.min()
    np.testing.assert_allclose(level, -(1 - np.exp(-density * edge_m)), rtol=1e-4)
    assert preset.threshold == -preset.output.occupied_above_opacity


@torch.no_grad()
def test_the_depth_of_a_density_is_that_of_a_wall(small_preset):
    """Both forms render a wall in the same place, since both are dense behind its face."""
    depths = []
    for preset in (small_preset, as_density(small_preset)):
        deployed = DeployedModel(SelfOcc(preset.model), preset)
        grid = preset.model.field_grid
        wall = 9.0 - grid.node_positions()[..., 0]
        projection = torch.from_numpy(example_inputs(6, 32, 64).image_from_ego)[:1]
        depths.append(deployed._depth(Field(wall[None], grid), projection))
    center = depths[0][0, 1:3, 3:5]
    assert (center - 7.5).abs().max() < 3
    torch.testing.assert_close(depths[1], depths[0], atol=2.0, rtol=0.1)


def test_a_semantic_model_is_exported_with_its_classes(tmp_path):
    preset = PRESETS['method_tiny']
    model = replace(
        preset.model,
        input=replace(preset.model.input, cameras=2, height=32, width=64),
        encoder=replace(preset.model.encoder, layers=1),
        decoder=replace(preset.model.decoder, class_names=('road', 'car', 'tree')),
    )
    output = replace(preset.output, grid=VoxelGrid((-40, -40, -1), (40, 40, 5.4), (20, 20, 8)))
    preset = replace(preset, model=model, output=output)
    network = SelfOcc(model)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    checkpoint = Checkpoint(preset, 0, 0, 'none', 'none', network.state_dict(), {})
    checkpoint.save(tmp_path / 'model.ckpt')
    Export(tmp_path / 'model.ckpt', tmp_path / 'model.onnx').run()
    backend = open_backend(tmp_path / 'model.onnx')
    assert backend.card.classes == ('road', 'car', 'tree')
    outputs = backend.infer(example_inputs(2, 32, 64))
    assert outputs.semantics.shape == (20, 20, 8)
    assert outputs.semantics.dtype == np.uint8


def test_the_label_of_a_voxel_is_the_likeliest_class_at_its_centre(small_preset):
    grid = small_preset.model.field_grid
    nodes = grid.node_positions()
    x, y = nodes[..., 0], nodes[..., 1]
    field = Field(torch.stack([x, *[0 * x] * 3, x, y, -x - y]), grid)
    labels = DeployedModel(SelfOcc(small_preset.model), small_preset)._labels(field).numpy()
    centers = small_preset.output.grid.centers()
    logits = np.stack([centers[..., 0], centers[..., 1], -centers[..., :2].sum(-1)])
    certain = np.ptp(np.sort(logits, axis=0)[1:], axis=0) > 0.1
    assert (labels == logits.argmax(0))[certain].all()
    assert set(np.unique(labels)) == {0, 1, 2}
