"""The published configuration for KITTI raw: depth from one camera, evaluated on KITTI-2015.

Not covered: the stereo partner as a source in two of three steps (section 4). The volume and the
crop are those of SemanticKITTI. The input is 0.84 times the crop, rounded down.
"""

from __future__ import annotations

from dataclasses import replace

from training.config import InputConfig
from training.presets.semantickitti import SEMANTICKITTI_NOVEL_DEPTH

STEPS_PER_EPOCH = 4976

KITTI_RAW_DEPTH = replace(
    SEMANTICKITTI_NOVEL_DEPTH,
    name='kitti_raw_depth',
    summary='depth of the input image, KITTI raw, 0.103 AbsRel published',
    model=replace(
        SEMANTICKITTI_NOVEL_DEPTH.model,
        input=InputConfig(
            cameras=1, height=310, width=1021, supervision_height=370, supervision_width=1216
        ),
        decoder=replace(SEMANTICKITTI_NOVEL_DEPTH.model.decoder, color=False),
    ),
    render=replace(SEMANTICKITTI_NOVEL_DEPTH.render, rows=44, columns=152),
    losses=replace(SEMANTICKITTI_NOVEL_DEPTH.losses, rgb=0.0, hessian=0.0, smoothness=0.01),
    optimizer=replace(
        SEMANTICKITTI_NOVEL_DEPTH.optimizer,
        steps=24 * STEPS_PER_EPOCH,
        learning_rate=1e-4,
        schedule='step',
        drop_at=18 * STEPS_PER_EPOCH,
    ),
    temporal=replace(
        SEMANTICKITTI_NOVEL_DEPTH.temporal,
        current_share=1.0,
        nearest_m=1.0,
        farthest_previous_m=5.0,
        farthest_next_m=5.0,
    ),
)
