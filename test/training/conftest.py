from __future__ import annotations

from dataclasses import replace

import pytest

from selfocc_core.voxels import VoxelGrid
from training.config import InputConfig, OutputConfig, Preset
from training.grid import NodeGrid
from training.presets import PRESETS


@pytest.fixture(autouse=True)
def one_thread():
    torch = pytest.importorskip('torch', reason='training needs torch')
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def small_preset() -> Preset:
    """A network that takes milliseconds, on the same principles as the shipped one."""
    tiny = PRESETS['selfocc-tiny']
    grid = NodeGrid.box((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (9, 9, 5))
    return replace(
        tiny,
        name='small',
        model=replace(
            tiny.model,
            input=InputConfig(6, 32, 64, supervision_height=32, supervision_width=64),
            backbone=replace(tiny.model.backbone, widths=(8, 8, 16, 16)),
            encoder=replace(
                tiny.model.encoder,
                dim=16,
                heads=2,
                top_anchors=4,
                side_anchors=4,
                feedforward=32,
            ),
            decoder=replace(tiny.model.decoder, volume_channels=8, refinements=1),
            grid=grid,
        ),
        output=OutputConfig(
            grid=VoxelGrid(grid.minimum_m, grid.maximum_m, (16, 16, 8)),
            depth_height=4,
            depth_width=8,
            depth_samples=16,
        ),
        render=replace(tiny.render, pixel_count=128, samples=16),
    )
