"""Every published configuration of SelfOcc and our own, each derived from one that it resembles.

Numbers: docs/method.md, sections 1 to 5.
"""

from __future__ import annotations

from training.config import Preset
from training.presets.baselines import SCENERF_LIKE
from training.presets.kitti_raw import KITTI_RAW_DEPTH
from training.presets.nuscenes import (
    NUSCENES_DEPTH,
    NUSCENES_NOVEL_DEPTH,
    NUSCENES_OCC,
    NUSCENES_OCC_BEV,
)
from training.presets.semantic import SELFOCC_TINY_SEMANTIC
from training.presets.semantickitti import SEMANTICKITTI_NOVEL_DEPTH, SEMANTICKITTI_OCC
from training.presets.small import KITTI_TINY, METHOD_SMALL, METHOD_TINY, SELFOCC_TINY

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        SELFOCC_TINY,
        SELFOCC_TINY_SEMANTIC,
        SCENERF_LIKE,
        NUSCENES_OCC,
        NUSCENES_OCC_BEV,
        NUSCENES_DEPTH,
        NUSCENES_NOVEL_DEPTH,
        SEMANTICKITTI_OCC,
        SEMANTICKITTI_NOVEL_DEPTH,
        KITTI_RAW_DEPTH,
        KITTI_TINY,
        METHOD_SMALL,
        METHOD_TINY,
    )
}
