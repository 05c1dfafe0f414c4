from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from training.config import ModelConfig
from training.grid import NodeGrid
from training.model.convolutional_decoder import ConvolutionalDecoder, _enlarged
from training.model.decoder import node_features
from training.presets import PRESETS


def config(**decoder: int) -> ModelConfig:
    model = PRESETS['selfocc-tiny'].model
    grid = NodeGrid.box((0.0, 0.0, 0.0), (8.0, 6.0, 2.0), (9, 7, 3))
    return replace(model, grid=grid, decoder=replace(model.decoder, **decoder))


def planes(model: ModelConfig) -> list[torch.Tensor]:
    x, y, z = model.grid.nodes
    return [torch.randn(1, *size, model.encoder.dim) for size in ((y, x), (z, y), (x, z))]


@pytest.mark.parametrize('parts', [(1, 1), (1, 2), (2, 2), (3, 2)])
def test_the_volume_has_the_nodes_of_the_field_grid(parts):
    model = config(subdivide_xy=parts[0], subdivide_z=parts[1])
    x, y, z = model.field_grid.nodes
    assert ConvolutionalDecoder(model)(planes(model)).shape == (1, 4, y, x, z)


def test_each_part_of_a_cell_goes_where_it_belongs():
    model = config(subdivide_xy=2, subdivide_z=2)
    decoder = ConvolutionalDecoder(model)
    x, y, z = model.grid.nodes
    predicted = torch.randn(1, 4 * 8, y, x, z)
    field = decoder._unfold(predicted)
    for part, (i, j, k) in enumerate(torch.cartesian_prod(*[torch.arange(2)] * 3).tolist()):
        placed = field[0, 1, i::2, j::2, k::2]
        rows, columns, levels = placed.shape
        assert torch.equal(placed, predicted[0, 8 + part, :rows, :columns, :levels])


def test_the_planes_are_projected_and_added_at_the_nodes():
    model = config()
    decoder, given = ConvolutionalDecoder(model), planes(model)
    expected = decoder.plane_proj(node_features(given, slice(None))).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(decoder._node_features(given), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('size', [(9, 7), (10, 8)])
def test_what_every_second_node_sees_is_interpolated_in_between(size):
    coarse = torch.randn(2, 3, 5, 4, 2)
    expected = F.interpolate(coarse, (*size, 2), mode='trilinear', align_corners=True)
    torch.testing.assert_close(_enlarged(coarse, *size), expected, atol=1e-5, rtol=1e-5)


def test_context_reaches_further_than_the_convolutions_of_the_nodes():
    near, far = (_reach(config(context=count, refinements=1)) for count in (0, 2))
    assert near == 1
    assert far >= 4


def _reach(model: ModelConfig) -> int:
    """Return how many nodes away along x a changed feature changes the field."""
    decoder = ConvolutionalDecoder(model)
    x, y, z = model.grid.nodes
    lifted = torch.rand(1, model.decoder.volume_channels, y, x, z)
    changed = lifted.clone()
    changed[:, :, 3, 0, 1] += 5
    flat = [torch.zeros_like(plane) for plane in planes(model)]
    difference = decoder(flat, changed) - decoder(flat, lifted)
    columns = difference.abs().amax((0, 1, 2, 4))[:: model.decoder.subdivide_xy]
    return int(torch.nonzero(columns).max())
