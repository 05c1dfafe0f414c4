from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from selfocc_core.preprocess import Preprocessor
from training.config import BackboneConfig, Preset
from training.export_parity import example_inputs
from training.grid import Axis, NodeGrid
from training.model.backbone import ResNet, load_backbone_weights
from training.model.deformable_attention import Places
from training.model.lift import average
from training.model.planes import PLANES, cross_view_references, pillar_anchors
from training.model.projection import Views, padded_size, project
from training.model.selfocc import SelfOcc
from training.presets import PRESETS


def inputs_of(preset: Preset, batch: int = 1):
    config = preset.model.input
    samples = [
        example_inputs(config.cameras, config.height, config.width, s) for s in range(batch)
    ]
    return [
        torch.stack([torch.from_numpy(np.array(vars(sample)[name])) for sample in samples])
        for name in vars(samples[0])
    ]


def network_of(preset: Preset) -> SelfOcc:
    network = SelfOcc(preset.model).eval()
    with torch.no_grad():  # so that offsets, weights and the head matter
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.fixture(scope='module')
def method_tiny() -> Preset:
    """The method's own configuration at the least size, with images of 64x96."""
    preset = PRESETS['method_tiny']
    model = replace(preset.model, input=replace(preset.model.input, height=64, width=96))
    return replace(preset, model=model)


@pytest.fixture(params=['ours', 'tpv', 'bev', 'uneven grid'])
def preset(request, small_preset, method_tiny) -> Preset:
    if request.param == 'ours':
        return small_preset
    if request.param == 'uneven grid':
        grid = NodeGrid(
            Axis(4, 8.0, 3, 24.0, outer_growth='linear'),
            Axis(4, 8.0, 2, 16.0),
            Axis(4, 2.0, 2, 4.0, -1.0, False),
        )
        return replace(method_tiny, model=replace(method_tiny.model, grid=grid))
    encoder = replace(method_tiny.model.encoder, view=request.param)
    return replace(method_tiny, model=replace(method_tiny.model, encoder=encoder))


@torch.no_grad()
def test_field_has_the_shape_of_its_grid(preset):
    (field,) = network_of(preset)(*inputs_of(preset))
    x, y, z = field.grid.nodes
    decoder = preset.model.decoder
    assert field.volume.shape == (4 + decoder.classes, y, x, z)
    assert field.sdf.shape == (y, x, z)
    assert field.semantics.shape[0] == decoder.classes
    assert torch.isfinite(field.volume).all()


@torch.no_grad()
def test_a_batch_gives_what_its_samples_give(preset):
    inputs, network = inputs_of(preset, batch=2), network_of(preset)
    together = network(*inputs)
    for i, field in enumerate(together):
        (alone,) = network(*(tensor[i : i + 1] for tensor in inputs))
        torch.testing.assert_close(field.volume, alone.volume, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together[0].volume, together[1].volume)


@torch.no_grad()
def test_the_order_of_cameras_does_not_matter(small_preset):
    images, projections, mask = inputs_of(small_preset)
    network, order = network_of(small_preset), torch.tensor([3, 1, 5, 0, 2, 4])
    (expected,) = network(images, projections, mask)
    (actual,) = network(images[:, order], projections[:, order], mask[:, order])
    torch.testing.assert_close(actual.sdf, expected.sdf, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_order_of_cameras_is_that_of_their_embeddings(method_tiny):
    images, projections, mask = inputs_of(method_tiny)
    network, order = network_of(method_tiny), torch.tensor([3, 1, 5, 0, 2, 4])
    (expected,) = network(images, projections, mask)
    network.encoder.camera_embedding.copy_(network.encoder.camera_embedding[order].clone())
    (actual,) = network(images[:, order], projections[:, order], mask[:, order])
    torch.testing.assert_close(actual.sdf, expected.sdf, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize('cameras', [1, 4])
def test_fewer_cameras_are_enough(preset, cameras):
    images, projections, mask = (tensor[:, :cameras] for tensor in inputs_of(preset))
    (field,) = network_of(preset)(images, projections, torch.ones_like(mask))
    assert torch.isfinite(field.volume).all()


@torch.no_grad()
def test_an_absent_camera_has_no_influence(preset):
    images, projections, mask = inputs_of(preset)
    network = network_of(preset)
    (expected,) = network(images, projections, mask)
    garbage = images.clone()
    garbage[~mask] = 255 - garbage[~mask]
    (actual,) = network(garbage, projections, mask)
    torch.testing.assert_close(actual.volume, expected.volume)
    (changed,) = network(255 - images, projections, mask)
    assert not torch.allclose(changed.volume, expected.volume)


def test_recomputing_layers_changes_no_gradient(method_tiny):
    inputs = inputs_of(method_tiny)
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        encoder = replace(method_tiny.model.encoder, checkpoint=recompute, dropout=0.0)
        network = SelfOcc(replace(method_tiny.model, encoder=encoder))
        (field,) = network(*inputs)
        field.volume.square().mean().backward()
        gradients.append(network.encoder.queries['top'].grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_bird_s_eye_view_starts_as_the_ground_plane(method_tiny):
    encoder = replace(method_tiny.model.encoder, view='bev')
    model = replace(method_tiny.model, encoder=encoder)
    (field,) = SelfOcc(model).eval()(*inputs_of(replace(method_tiny, model=model)))
    heights = model.grid.z.node_coordinates()
    torch.testing.assert_close(field.sdf, heights.expand_as(field.sdf), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ('depth', 'channels', 'parameters'),
    # Millions of parameters without the classifier: torchvision's totals less fc.
    [(18, 512, 11.177), (34, 512, 21.285), (50, 2048, 23.508), (101, 2048, 42.500)],
)
def test_backbones_have_the_published_size(depth, channels, parameters):
    backbone = ResNet(BackboneConfig(depth=depth, frozen_stem=False))
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert count / 1e6 == pytest.approx(parameters, abs=1e-3)
    features = backbone(torch.zeros(1, 3, 64, 96))
    assert [feature.shape[-2:] for feature in features] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert features[-1].shape[1] == channels


def test_the_nuscenes_network_has_the_published_size():
    preset = PRESETS['nuscenes_occ']
    with torch.device('meta'):
        network = SelfOcc(preset.model)

    def millions(module):
        return sum(p.numel() for p in module.parameters()) / 1e6

    # Section 2.2 counts what is trained: the stem is frozen.
    trained = sum(p.numel() for p in network.backbone.parameters() if p.requires_grad) / 1e6
    assert trained == pytest.approx(23.50, abs=0.01)
    assert millions(network.neck) == pytest.approx(0.70, abs=0.01)
    assert millions(network.encoder.queries) == pytest.approx(7.57, abs=0.01)
    assert millions(network.encoder) - millions(network.encoder.queries) == pytest.approx(
        3.62, abs=0.01
    )
    assert millions(network.decoder) == pytest.approx(0.012, abs=0.001)


@torch.no_grad()
def test_padding_gives_the_features_of_a_larger_image(method_tiny):
    images = torch.rand(1, 3, 50, 70)
    larger = torch.zeros(1, 3, 64, 96)
    larger[:, :, :50, :70] = images
    network = network_of(method_tiny)
    for one, other in zip(network.look(images), network.look(larger), strict=True):
        torch.testing.assert_close(one, other)


def test_references_address_the_padded_image():
    camera = nuscenes_like_rig(70, 50)['front']
    point = torch.tensor([[10.0, 0.5, 1.5]])
    projection = torch.tensor(camera.image_from_ego[None, None], dtype=torch.float32)
    mask = torch.ones(1, 1, dtype=torch.bool)
    plain, padded = (
        project(point, Views(projection, mask, (50, 70), size)).references[0, 0, 0]
        for size in ((50, 70), padded_size((50, 70), levels=4))
    )
    torch.testing.assert_close(plain * torch.tensor([70, 50]), padded * torch.tensor([96, 64]))


def test_a_frozen_stem_stays_as_it_was():
    backbone = ResNet(BackboneConfig(depth=18, widths=(4, 4, 4, 4))).train()
    before = backbone.bn1.running_mean.clone()
    backbone(torch.randn(2, 3, 32, 32))[-1].sum().backward()
    assert torch.equal(backbone.bn1.running_mean, before)
    assert backbone.conv1.weight.grad is None
    assert not torch.equal(backbone.layer1[0].bn1.running_mean, before)


def test_backbone_weights_come_from_a_file(tmp_path):
    config = BackboneConfig(depth=18, widths=(4, 4, 8, 8))
    source, target = ResNet(config), ResNet(config)
    weights = source.state_dict() | {
        'fc.weight': torch.zeros(1000, 8),
        'fc.bias': torch.zeros(1000),
    }
    torch.save(weights, tmp_path / 'resnet.pth')
    load_backbone_weights(target, tmp_path / 'resnet.pth')
    assert torch.equal(source.layer4[1].conv2.weight, target.layer4[1].conv2.weight)
    with pytest.raises(SelfOccError, match=r'resnet\.pth does not hold'):
        load_backbone_weights(ResNet(BackboneConfig(depth=34)), tmp_path / 'resnet.pth')
    with pytest.raises(SelfOccError, match='no file'):
        load_backbone_weights(target, tmp_path / 'absent.pth')


def test_lift_reads_each_node_from_the_cameras_that_see_it():
    rig = nuscenes_like_rig(64, 32)
    projections = torch.tensor(np.stack([c.image_from_ego for c in rig]), dtype=torch.float32)
    maps = torch.arange(1.0, 7.0).view(1, 6, 1, 1, 1).expand(1, 6, 1, 8, 16)
    ahead, behind, above = [10.0, 0.0, 1.5], [-10.0, 0.0, 1.5], [0.0, 0.0, 30.0]
    views = Views(projections[None], torch.ones(1, 6, dtype=torch.bool), (32, 64), (32, 64))
    places = project(torch.tensor([ahead, behind, above]), views)
    assert average(maps, Places(*places))[0, 0].tolist() == [1.0, 4.0, 0.0]


def test_anchors_sweep_the_collapsed_axis():
    grid = NodeGrid.box((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (9, 9, 5))
    top, side, front = (pillar_anchors(plane, grid, 4) for plane in PLANES)
    assert top.shape == (81, 4, 3)
    assert side.shape == front.shape == (45, 4, 3)
    assert top[0, :, 2].tolist() == torch.linspace(-2.0, 4.4, 4).tolist()
    assert side[0, :, 0].tolist() == torch.linspace(-25.6, 25.6, 4).tolist()
    assert front[0, :, 1].tolist() == torch.linspace(-25.6, 25.6, 4).tolist()


def test_a_query_looks_at_its_own_place_and_along_its_pillar():
    grid = NodeGrid.box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (4, 5, 3))
    references = cross_view_references(grid, 'tpv', 3, parity=False)
    assert references.shape == (4 * 5 + 3 * 5 + 4 * 3, 3, 3, 2)
    query = references[2 * 4 + 1]  # of the top plane: row (y) 2, column (x) 1
    torch.testing.assert_close(query[0], torch.tensor([[1.5 / 4, 2.5 / 5]]).expand(3, 2))
    sweep = torch.tensor([0.5, 1.5, 2.5]) / 3
    torch.testing.assert_close(query[1], torch.stack([torch.full((3,), 0.5), sweep], 1))
    torch.testing.assert_close(query[2], torch.stack([sweep, torch.full((3,), 1.5 / 4)], 1))


def test_projection_agrees_with_the_core():
    camera = nuscenes_like_rig()['front_left']
    preprocessor = Preprocessor(camera, 96, 176)
    point = np.array([8.0, 9.0, 1.0, 1.0])
    u, v, w = preprocessor.input_from_ego @ point
    views = Views(
        torch.tensor(preprocessor.input_from_ego[None, None], dtype=torch.float32),
        torch.ones(1, 1, dtype=torch.bool),
        (96, 176),
        padded_size((96, 176), levels=4),
    )
    references, visible, _ = project(torch.tensor(point[None, :3], dtype=torch.float32), views)
    expected = torch.tensor([(u / w + 0.5) / 192, (v / w + 0.5) / 96], dtype=torch.float32)
    torch.testing.assert_close(references[0, 0, 0], expected, atol=1e-4, rtol=1e-4)
    assert bool(visible[0, 0, 0])
