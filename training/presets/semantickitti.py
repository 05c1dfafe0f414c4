"""The published configurations for SemanticKITTI: one camera that looks ahead.

What a preset does not say, because the reader of a dataset decides it (section 2.1): the crop
from the top left.
Not covered: KITTI's own mean and deviation of colours, ours are ImageNet's (they differ by less
than one of 255). The schedule is published in epochs; their length here is one pass over the
19130 frames of the training sequences on 8 devices.
"""

from __future__ import annotations

from dataclasses import replace

from training.config import InputConfig, VolumeFrame
from training.grid import NodeGrid
from training.presets.nuscenes import NUSCENES_OCC

STEPS_PER_EPOCH = 2391

# At the height of the LiDAR, turned so that x points to the right; ahead of it only.
_LIDAR_FRAME = VolumeFrame('right_ahead', (0.0, 0.0, 1.73))
_GRID = NodeGrid.box((-25.6, 0.0, -2.0), (25.6, 51.2, 4.4), (257, 257, 33))

SEMANTICKITTI_OCC = replace(
    NUSCENES_OCC,
    name='semantickitti_occ',
    summary='occupancy from one camera, SemanticKITTI, 21.97 IoU published',
    model=replace(
        NUSCENES_OCC.model,
        input=InputConfig(
            cameras=1, height=352, width=1216, supervision_height=352, supervision_width=1216
        ),
        decoder=replace(NUSCENES_OCC.model.decoder, class_names=()),
        grid=_GRID,
        frame=_LIDAR_FRAME,
    ),
    output=replace(
        NUSCENES_OCC.output,
        grid=_LIDAR_FRAME.voxels_over(_GRID, (256, 256, 32)),
        depth_height=44,
        depth_width=152,
    ),
    render=replace(NUSCENES_OCC.render, rows=55, columns=190),
    losses=replace(
        NUSCENES_OCC.losses,
        photometric_form='separate',
        hessian=0.1,
        compact_hessian=True,
        sparsity_form='soft',
        sparsity=0.005,
        semantic=0.0,
    ),
    optimizer=replace(
        NUSCENES_OCC.optimizer,
        steps=24 * STEPS_PER_EPOCH,
        learning_rate=1e-3,
        schedule='cosine',
        final_learning_rate=1e-6,
    ),
    temporal=replace(
        NUSCENES_OCC.temporal,
        current_share=1 / 3,
        previous_share=0.4 / 3,
        farthest_previous_m=10.0,
        farthest_next_m=40.0,
        sources='nearest',
    ),
)

SEMANTICKITTI_NOVEL_DEPTH = replace(
    SEMANTICKITTI_OCC,
    name='semantickitti_novel_depth',
    summary='depth from other viewpoints than the input, SemanticKITTI, 0.156 AbsRel published',
    model=replace(
        SEMANTICKITTI_OCC.model,
        input=InputConfig(
            cameras=1, height=370, width=1216, supervision_height=370, supervision_width=1216
        ),
    ),
    losses=replace(SEMANTICKITTI_OCC.losses, hessian=0.01, compact_hessian=False, sparsity=0.0),
    temporal=replace(
        SEMANTICKITTI_OCC.temporal, current_share=0.5, previous_share=0.0, farthest_next_m=10.0
    ),
)
