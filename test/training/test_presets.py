"""The published configurations, number by number against sections 1 to 5 of the method."""

from __future__ import annotations

import numpy as np
import pytest

from training.model.selfocc import SelfOcc
from training.presets import PRESETS

KITTI = ('semantickitti_occ', 'semantickitti_novel_depth', 'kitti_raw_depth')
NUSCENES = ('nuscenes_occ', 'nuscenes_occ_bev', 'nuscenes_novel_depth', 'nuscenes_depth')


def test_every_preset_is_there_under_its_name():
    ours = {
        'selfocc-tiny', 'selfocc-tiny-semantic', 'scenerf_like', 'kitti_tiny', 'method_small',
        'method_tiny',
    }  # fmt: skip
    assert set(PRESETS) == ours | set(KITTI) | set(NUSCENES)
    assert all(name == preset.name and preset.summary for name, preset in PRESETS.items())


@pytest.mark.parametrize(
    ('names', 'minimum_m', 'maximum_m', 'nodes', 'spacing_m'),
    [
        (NUSCENES[:2], (-40, -40, -1), (40, 40, 5.4), (257, 257, 25), (0.3125, 0.3125, 0.2667)),
        (NUSCENES[2:], (-51.2, -51.2, -4), (51.2, 51.2, 5), (257, 257, 31), (0.4, 0.4, 0.3)),
        (KITTI, (-25.6, 0, -2), (25.6, 51.2, 4.4), (257, 257, 33), (0.2, 0.2, 0.2)),
    ],
)
def test_grids(names, minimum_m, maximum_m, nodes, spacing_m):
    for name in names:
        grid = PRESETS[name].model.grid
        assert grid.nodes == nodes
        assert grid.minimum_m == pytest.approx(minimum_m)
        assert grid.maximum_m == pytest.approx(maximum_m)
        cells = np.array(nodes) - 1
        extent_m = np.subtract(grid.maximum_m, grid.minimum_m)
        np.testing.assert_allclose(extent_m / cells, spacing_m, atol=1e-4)


@pytest.mark.parametrize(
    ('name', 'cameras', 'padded', 'supervision', 'rays', 'channels'),
    [
        ('nuscenes_occ', 6, (384, 800), (768, 1600), (48, 100), 25),
        ('nuscenes_occ_bev', 6, (384, 800), (768, 1600), (48, 100), 25),
        ('nuscenes_novel_depth', 6, (384, 800), (768, 1600), (48, 100), 4),
        ('nuscenes_depth', 6, (448, 800), (900, 1600), (48, 100), 1),
        ('semantickitti_occ', 1, (352, 1216), (352, 1216), (55, 190), 4),
        ('semantickitti_novel_depth', 1, (384, 1216), (370, 1216), (55, 190), 4),
        ('kitti_raw_depth', 1, (320, 1024), (370, 1216), (44, 152), 1),
        ('method_small', 6, (96, 192), (192, 384), (24, 44), 25),
        ('method_tiny', 6, (96, 192), (192, 384), (8, 12), 25),
    ],
)
def test_images_rays_and_channels(name, cameras, padded, supervision, rays, channels):
    preset = PRESETS[name]
    images, render, decoder = preset.model.input, preset.render, preset.model.decoder
    assert images.cameras == cameras
    assert tuple(-(-size // 32) * 32 for size in (images.height, images.width)) == padded
    assert (images.supervision_height, images.supervision_width) == supervision
    assert (render.rays, render.rows, render.columns) == ('lattice', *rays)
    assert 1 + 3 * decoder.color + decoder.classes == channels


@pytest.mark.parametrize(
    ('name', 'form', 'weights', 'sparsity_form'),
    [  # photometric, rgb, eikonal, hessian, sparsity, smoothness, semantic
        ('nuscenes_occ', 'combined', (1, 0.1, 0.1, 0.01, 0, 0, 0.1), 'soft'),
        ('nuscenes_occ_bev', 'combined', (1, 0.1, 0.1, 0.01, 0.001, 0, 0.1), 'soft'),
        ('nuscenes_novel_depth', 'combined', (1, 0.1, 0.1, 0.01, 0, 0, 0), 'soft'),
        ('nuscenes_depth', 'combined', (1, 0, 0.1, 0, 0, 0.01, 0), 'soft'),
        ('semantickitti_occ', 'separate', (1, 0.1, 0.1, 0.1, 0.005, 0, 0), 'soft'),
        ('semantickitti_novel_depth', 'separate', (1, 0.1, 0.1, 0.01, 0, 0, 0), 'soft'),
        ('kitti_raw_depth', 'separate', (1, 0, 0.1, 0, 0, 0.01, 0), 'soft'),
        ('method_small', 'combined', (1, 0.1, 0.1, 0.01, 0, 0, 0.1), 'soft'),
        ('method_tiny', 'combined', (1, 0.1, 0.1, 0.01, 0, 0, 0.1), 'soft'),
        ('selfocc-tiny', 'evidence', (1, 0.1, 0.1, 0.01, 0.003, 0, 0), 'nodes'),
    ],
)
def test_losses(name, form, weights, sparsity_form):
    losses = PRESETS[name].losses
    assert losses.photometric_form == form
    assert (
        losses.photometric, losses.rgb, losses.eikonal, losses.hessian, losses.sparsity,
        losses.smoothness, losses.semantic,
    ) == weights  # fmt: skip
    assert losses.sparsity_form == sparsity_form
    assert losses.semantic_form == ('binary' if name == 'nuscenes_occ_bev' else 'cross_entropy')
    assert losses.compact_hessian == (name == 'semantickitti_occ')
    assert losses.swept_volume == (0.3 if name == 'selfocc-tiny' else 0)


@pytest.mark.parametrize(
    ('name', 'shares', 'limits_m', 'sources'),
    [  # shares of previous, current, next; nearest, farthest previous, farthest next
        ('nuscenes_occ', (1 / 3, 1 / 3, 1 / 3), (0.4, 30, 30), 'gaussian'),
        ('nuscenes_occ_bev', (1 / 3, 1 / 3, 1 / 3), (0.4, 30, 30), 'gaussian'),
        ('nuscenes_novel_depth', (1 / 3, 1 / 3, 1 / 3), (0.4, 10, 10), 'gaussian'),
        ('nuscenes_depth', (0, 1, 0), (0.4, 6, 6), 'gaussian'),
        ('semantickitti_occ', (0.133, 0.333, 0.533), (0.4, 10, 40), 'nearest'),
        ('semantickitti_novel_depth', (0, 0.5, 0.5), (0.4, 10, 10), 'nearest'),
        ('kitti_raw_depth', (0, 1, 0), (1, 5, 5), 'nearest'),
        ('method_small', (1 / 3, 1 / 3, 1 / 3), (0.4, 30, 30), 'gaussian'),
    ],
)
def test_supervising_frames(name, shares, limits_m, sources):
    config = PRESETS[name].temporal
    previous, current = config.previous_share, config.current_share
    assert (previous, current, 1 - previous - current) == pytest.approx(shares, abs=1e-3)
    assert (config.nearest_m, config.farthest_previous_m, config.farthest_next_m) == limits_m
    assert config.sources == sources
    assert not config.both_anchors
    assert config.camera_dropout == 0


@pytest.mark.parametrize(
    ('name', 'rate', 'epochs', 'epoch', 'schedule', 'drop_after'),
    [
        ('nuscenes_occ', 1e-4, 12, 3516, 'step', 9),
        ('nuscenes_occ_bev', 1e-4, 12, 3516, 'step', 9),
        ('nuscenes_novel_depth', 1e-4, 24, 3516, 'step', 18),
        ('nuscenes_depth', 1e-4, 24, 3516, 'step', 18),
        ('semantickitti_occ', 1e-3, 24, 2391, 'cosine', None),
        ('semantickitti_novel_depth', 1e-3, 24, 2391, 'cosine', None),
        ('kitti_raw_depth', 1e-4, 24, 4976, 'step', 18),
    ],
)
def test_optimisation(name, rate, epochs, epoch, schedule, drop_after):
    config = PRESETS[name].optimizer
    assert (config.learning_rate, config.steps, config.schedule) == (
        rate, epochs * epoch, schedule,
    )  # fmt: skip
    if drop_after:
        assert config.drop_at == drop_after * epoch
    assert (config.weight_decay, config.backbone_factor, config.clip_norm) == (0.01, 0.1, 35)
    assert (config.warm_up, config.first_learning_rate) == (1000, 1e-6)
    assert config.final_learning_rate == 1e-6


@pytest.mark.parametrize('name', [*NUSCENES, *KITTI])
def test_the_network_of_section_2(name):
    encoder, render = PRESETS[name].model.encoder, PRESETS[name].render
    assert (encoder.dim, encoder.heads, encoder.layers, encoder.feedforward) == (96, 6, 4, 192)
    assert (encoder.top_anchors, encoder.side_anchors, encoder.self_points) == (8, 48, 12)
    assert (encoder.position_frequencies, encoder.dropout, encoder.query_std) == (12, 0.1, 1)
    assert encoder.view == ('bev' if name == 'nuscenes_occ_bev' else 'tpv')
    assert PRESETS[name].model.backbone.depth == 50
    assert PRESETS[name].model.backbone.frozen_stem
    assert (render.samples, render.anneal_steps, render.sharpness) == (256, 5000, 'learned')


@pytest.mark.parametrize(
    ('name', 'millions'),
    [('nuscenes_occ', 35.41), ('method_small', 28.40), ('method_tiny', 11.29)],
)
def test_parameters_are_as_many_as_measured(name, millions):
    parameters = sum(p.numel() for p in SelfOcc(PRESETS[name].model).parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.01)
