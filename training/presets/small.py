"""Small configurations: the one that this project ships, and the method's at sizes for a CPU."""

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
)
from training.grid import NodeGrid
from training.presets.nuscenes import NUSCENES_OCC

SELFOCC_TINY = Preset(
    name='selfocc-tiny',
    summary='ours, for surround cameras: trains on one CPU core in an hour',
    model=ModelConfig(
        input=InputConfig(
            cameras=6, height=96, width=176, supervision_height=192, supervision_width=352
        ),
        backbone=BackboneConfig(depth=18, widths=(32, 48, 96, 160), frozen_stem=False, levels=1),
        encoder=EncoderConfig(
            dim=64,
            heads=4,
            layers=1,
            top_anchors=8,
            side_anchors=16,
            self_points=0,
            feedforward=128,
            dropout=0.0,
            position_frequencies=0,
            token_embeddings=False,
            query_std=0.1,
        ),
        decoder=DecoderConfig(
            kind='convolutions',
            volume_channels=32,
            context=3,
            refinements=2,
            subdivide_xy=2,
            subdivide_z=2,
            lift=True,
        ),
        grid=NodeGrid.box((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (65, 65, 9)),
    ),
    output=OutputConfig(
        grid=VoxelGrid((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (128, 128, 16)),
        # Half a voxel: a surface through a voxel is at most about that far from its centre.
        occupied_below_m=0.2,
        depth_height=24,
        depth_width=44,
        depth_samples=64,
        depth_near_m=0.8,
        depth_far_m=45.0,
    ),
    render=RenderConfig(
        rays='pixels',
        samples=64,
        pixel_count=2048,
        near_m=0.8,
        far_m=45.0,
        sharpness='scheduled',
        sharpness_start=3.0,
        sharpness_end=40.0,
        bin_sharpness=6.0,
    ),
    losses=LossConfig(
        photometric_form='evidence',
        photometric=1.0,
        rgb=0.1,
        eikonal=0.1,
        hessian=0.01,
        sparsity_form='nodes',
        sparsity=0.003,
        swept_volume=0.3,
    ),
    optimizer=OptimizerConfig(
        steps=6000,
        learning_rate=2e-3,
        backbone_factor=1.0,
        schedule='cosine',
        final_learning_rate=2e-5,
        warm_up=49,
        first_learning_rate=2e-5,
        clip_norm=10.0,
    ),
    temporal=TemporalConfig(
        current_share=0.5,
        previous_share=0.25,
        nearest_m=0.3,
        sources='log_uniform',
        farthest_source_m=1.2,
        both_anchors=True,
        anchor_reach=2,
        camera_dropout=0.1,
        mirrored_share=0.5,
    ),
)

METHOD_SMALL = replace(
    NUSCENES_OCC,
    name='method_small',
    summary='nuscenes_occ with small images and a coarse grid, for a CPU',
    model=replace(
        NUSCENES_OCC.model,
        input=InputConfig(
            cameras=6, height=96, width=192, supervision_height=192, supervision_width=384
        ),
        grid=NodeGrid.box((-40.0, -40.0, -1.0), (40.0, 40.0, 5.4), (65, 65, 13)),
    ),
    output=replace(NUSCENES_OCC.output, depth_height=24, depth_width=48),
    render=replace(NUSCENES_OCC.render, rows=24, columns=44, samples=128),
)

METHOD_TINY = replace(
    METHOD_SMALL,
    name='method_tiny',
    summary='the method at the least size that has all its parts, for tests',
    model=replace(
        METHOD_SMALL.model,
        backbone=replace(METHOD_SMALL.model.backbone, depth=18),
        encoder=replace(
            METHOD_SMALL.model.encoder,
            dim=24,
            heads=3,
            layers=2,
            top_anchors=4,
            side_anchors=8,
            self_points=4,
            feedforward=48,
        ),
        grid=NodeGrid.box((-40.0, -40.0, -1.0), (40.0, 40.0, 5.4), (17, 17, 9)),
    ),
    render=replace(METHOD_SMALL.render, rows=8, columns=12, samples=32),
)

KITTI_TINY = replace(
    SELFOCC_TINY,
    name='kitti_tiny',
    summary='ours, for one camera that looks ahead, as in KITTI: trains on a CPU',
    model=replace(
        SELFOCC_TINY.model,
        input=InputConfig(
            cameras=1, height=96, width=320, supervision_height=192, supervision_width=640
        ),
        grid=NodeGrid.box((0.0, -25.6, -2.0), (51.2, 25.6, 4.4), (65, 65, 9)),
    ),
    output=replace(
        SELFOCC_TINY.output,
        grid=VoxelGrid((0.0, -25.6, -2.0), (51.2, 25.6, 4.4), (128, 128, 16)),
        depth_width=80,
        depth_near_m=2.0,
        depth_far_m=60.0,
    ),
    # A long lens high above the road sees nothing nearer, and straight ahead 50 m of it.
    render=replace(SELFOCC_TINY.render, near_m=2.0, far_m=60.0),
    # Ahead, a short way moves little in the image.
    temporal=replace(SELFOCC_TINY.temporal, camera_dropout=0.0, farthest_source_m=3.0),
)
