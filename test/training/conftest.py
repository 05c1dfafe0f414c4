from __future__ import annotations

from dataclasses import replace

import pytest

from selfocc_core.voxels import VoxelGrid
from training.presets import ModelConfig, NodeGrid, OutputConfig, Preset, RenderConfig


@pytest.fixture(autouse=True)
def one_thread():
    torch = pytest.importorskip('torch', reason='training needs torch')
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def small_preset() -> Preset:
    """A network that takes milliseconds, on the same principles as the shipped one."""
    grid = NodeGrid(nodes=(9, 9, 5))
    return Preset(
        name='small',
        model=ModelConfig(
            height=32,
            width=64,
            backbone_widths=(8, 8, 16, 16),
            dim=16,
            heads=2,
            top_anchors=4,
            side_anchors=4,
            grid=grid,
            volume_channels=8,
            refinements=1,
        ),
        output=OutputConfig(
            grid=VoxelGrid(grid.minimum_m, grid.maximum_m, (16, 16, 8)),
            depth_height=4,
            depth_width=8,
            depth_samples=16,
        ),
        render=replace(RenderConfig(), rays=128, samples=16),
    )
