"""Pictures of depth and occupancy, made with numpy and OpenCV: no display is needed."""

from __future__ import annotations

from selfocc_core.visualization.contact_sheet import contact_sheet
from selfocc_core.visualization.depth import (
    depth_colors,
    depth_in_image,
    depth_legend,
    draw_depths,
)
from selfocc_core.visualization.occupancy_map import (
    height_legend,
    occupancy_difference,
    occupancy_from_above,
)
from selfocc_core.visualization.occupancy_perspective import Viewpoint, occupancy_perspective

__all__ = [
    'Viewpoint',
    'contact_sheet',
    'depth_colors',
    'depth_in_image',
    'depth_legend',
    'draw_depths',
    'height_legend',
    'occupancy_difference',
    'occupancy_from_above',
    'occupancy_perspective',
]
