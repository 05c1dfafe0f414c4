"""The published configurations for nuScenes: six cameras, keyframes as input.

What a preset does not say, because the reader of a dataset decides it (sections 2.1 and 4): the
crop (768x1600 from the top left, 900x1600 for depth), and that the frames between keyframes
supervise too.
"""

from __future__ import annotations

from dataclasses import replace

from selfocc_core.voxels import VoxelGrid
from training.config import (
    BackboneConfig,
    DecoderConfig,
    EncoderConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    OutputConfig,
    Preset,
    RenderConfig,
    TemporalConfig,
    VolumeFrame,
)
from training.grid import NodeGrid

STEPS_PER_EPOCH = 3516  # 28130 keyframes on 8 devices

# What the open-vocabulary segmenter was asked for (section 3).
WORDS = (
    'barrier', 'bicycle', 'bus', 'car', 'construction_vehicle', 'crane', 'motorcycle', 'person',
    'traffic_cone', 'trailer', 'trailer_truck', 'truck', 'road', 'other_flat', 'sidewalk',
    'terrain', 'grass', 'building', 'wall', 'tree', 'sky',
)  # fmt: skip

NUSCENES_OCC = Preset(
    name='nuscenes_occ',
    summary='occupancy and semantics, Occ3D-nuScenes, 45.01 IoU published',
    model=ModelConfig(
        input=InputConfig(
            cameras=6, height=384, width=800, supervision_height=768, supervision_width=1600
        ),
        backbone=BackboneConfig(depth=50, frozen_stem=True, levels=4),
        encoder=EncoderConfig(
            dim=96, heads=6, layers=4, top_anchors=8, side_anchors=48, self_points=12
        ),
        decoder=DecoderConfig(color=True, class_names=WORDS),
        grid=NodeGrid.box((-40.0, -40.0, -1.0), (40.0, 40.0, 5.4), (257, 257, 25)),
    ),
    output=OutputConfig(
        grid=VoxelGrid((-40.0, -40.0, -1.0), (40.0, 40.0, 5.4), (200, 200, 16)),
        depth_height=48,
        depth_width=100,
        depth_samples=128,
        depth_far_m=60.0,
    ),
    render=RenderConfig(rows=48, columns=100, samples=256, anneal_steps=5000),
    losses=LossConfig(
        photometric_form='combined',
        photometric=1.0,
        rgb=0.1,
        eikonal=0.1,
        hessian=0.01,
        semantic_form='cross_entropy',
        semantic=0.1,
    ),
    optimizer=OptimizerConfig(
        steps=12 * STEPS_PER_EPOCH,
        learning_rate=1e-4,
        schedule='step',
        drop_at=9 * STEPS_PER_EPOCH,
    ),
    temporal=TemporalConfig(
        current_share=1 / 3,
        previous_share=1 / 3,
        nearest_m=0.4,
        farthest_previous_m=30.0,
        farthest_next_m=30.0,
        sources='gaussian',
    ),
)

NUSCENES_OCC_BEV = replace(
    NUSCENES_OCC,
    name='nuscenes_occ_bev',
    summary='the same with the top plane only, 44.33 IoU published; its authors did not verify it',
    model=replace(NUSCENES_OCC.model, encoder=replace(NUSCENES_OCC.model.encoder, view='bev')),
    losses=replace(
        NUSCENES_OCC.losses, sparsity_form='soft', sparsity=0.001, semantic_form='binary'
    ),
)

# Around the LiDAR on the roof, whose x points to the right.
_LIDAR_FRAME = VolumeFrame('right_ahead', (0.94, 0.0, 1.84))
_LIDAR_GRID = NodeGrid.box((-51.2, -51.2, -4.0), (51.2, 51.2, 5.0), (257, 257, 31))

NUSCENES_NOVEL_DEPTH = replace(
    NUSCENES_OCC,
    name='nuscenes_novel_depth',
    summary='depth from other viewpoints than the input, nuScenes, 0.400 AbsRel published',
    model=replace(
        NUSCENES_OCC.model,
        decoder=replace(NUSCENES_OCC.model.decoder, class_names=()),
        grid=_LIDAR_GRID,
        frame=_LIDAR_FRAME,
    ),
    output=replace(
        NUSCENES_OCC.output,
        grid=_LIDAR_FRAME.voxels_over(_LIDAR_GRID, (256, 256, 30)),
        depth_far_m=80.0,
    ),
    losses=replace(NUSCENES_OCC.losses, semantic=0.0),
    optimizer=replace(
        NUSCENES_OCC.optimizer, steps=24 * STEPS_PER_EPOCH, drop_at=18 * STEPS_PER_EPOCH
    ),
    temporal=replace(NUSCENES_OCC.temporal, farthest_previous_m=10.0, farthest_next_m=10.0),
)

NUSCENES_DEPTH = replace(
    NUSCENES_NOVEL_DEPTH,
    name='nuscenes_depth',
    summary='depth of the input images, nuScenes, 0.215 AbsRel published',
    model=replace(
        NUSCENES_NOVEL_DEPTH.model,
        input=InputConfig(
            cameras=6, height=448, width=800, supervision_height=900, supervision_width=1600
        ),
        decoder=replace(NUSCENES_NOVEL_DEPTH.model.decoder, color=False),
    ),
    losses=replace(NUSCENES_NOVEL_DEPTH.losses, rgb=0.0, hessian=0.0, smoothness=0.01),
    temporal=replace(
        NUSCENES_NOVEL_DEPTH.temporal,
        current_share=1.0,
        previous_share=0.0,
        farthest_previous_m=6.0,
        farthest_next_m=6.0,
    ),
)
