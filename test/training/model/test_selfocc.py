from __future__ import annotations

import numpy as np
import torch

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.preprocess import Preprocessor
from training.export import example_inputs
from training.model.lift import lift
from training.model.selfocc import SelfOcc
from training.model.tpv_encoder import plane_anchors
from training.presets import Preset


def inputs_of(preset: Preset):
    config = preset.model
    example = example_inputs(config.cameras, config.height, config.width)
    return [torch.from_numpy(np.array(value)) for value in vars(example).values()]


def network_of(preset: Preset) -> SelfOcc:
    network = SelfOcc(preset.model).eval()
    with torch.no_grad():  # so that offsets, weights and the head matter
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@torch.no_grad()
def test_field_has_the_shape_of_its_grid(small_preset):
    field = network_of(small_preset)(*inputs_of(small_preset))
    x, y, z = field.grid.nodes
    assert field.sdf.shape == (y, x, z) == (9, 9, 9)
    assert field.color.shape == (3, y, x, z)
    assert float(field.color.min()) >= 0
    assert float(field.color.max()) <= 1


@torch.no_grad()
def test_the_order_of_cameras_does_not_matter(small_preset):
    images, projections, mask = inputs_of(small_preset)
    network, order = network_of(small_preset), torch.tensor([3, 1, 5, 0, 2, 4])
    expected = network(images, projections, mask).sdf
    actual = network(images[order], projections[order], mask[order]).sdf
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_absent_camera_has_no_influence(small_preset):
    images, projections, mask = inputs_of(small_preset)
    network = network_of(small_preset)
    expected = network(images, projections, mask).sdf
    garbage = images.clone()
    garbage[~mask] = 255 - garbage[~mask]
    torch.testing.assert_close(network(garbage, projections, mask).sdf, expected)
    present = ~mask if (~mask).any() else mask
    changed = network(255 - images, projections, present | mask).sdf
    assert not torch.allclose(changed, expected)


def test_lift_reads_each_node_from_the_cameras_that_see_it():
    rig = nuscenes_like_rig(64, 32)
    projections = torch.tensor(np.stack([c.image_from_ego for c in rig]), dtype=torch.float32)
    features = torch.arange(1.0, 7.0).view(6, 1, 1, 1).expand(6, 1, 8, 16)
    ahead, behind, above = [10.0, 0.0, 1.5], [-10.0, 0.0, 1.5], [0.0, 0.0, 30.0]
    lifted = lift(
        features, torch.tensor([ahead, behind, above]), projections, torch.ones(6).bool(), (32, 64)
    )
    assert lifted[0].tolist() == [1.0, 4.0, 0.0]


def test_anchors_sweep_the_collapsed_axis(small_preset):
    config = small_preset.model
    top, side, front = plane_anchors(config.grid, 4, 5)
    assert top.shape == (81, 4, 3)
    assert side.shape == front.shape == (45, 5, 3)
    assert top[0, :, 2].tolist() == torch.linspace(-2.0, 4.4, 4).tolist()
    assert side[0, :, 0].tolist() == torch.linspace(-25.6, 25.6, 5).tolist()
    assert front[0, :, 1].tolist() == torch.linspace(-25.6, 25.6, 5).tolist()


def test_projection_agrees_with_the_core():
    from training.model.projection import project

    camera = nuscenes_like_rig()['front_left']
    preprocessor = Preprocessor(camera, 96, 176)
    point = np.array([8.0, 9.0, 1.0, 1.0])
    u, v, w = preprocessor.input_from_ego @ point
    projected = project(
        torch.tensor(point[None, :3], dtype=torch.float32),
        torch.tensor(preprocessor.input_from_ego[None], dtype=torch.float32),
        (96, 176),
    )
    expected = torch.tensor([(u / w + 0.5) / 176, (v / w + 0.5) / 96], dtype=torch.float32)
    torch.testing.assert_close(projected.locations[0, 0], expected, atol=1e-4, rtol=1e-4)
    assert bool(projected.visible[0, 0])
