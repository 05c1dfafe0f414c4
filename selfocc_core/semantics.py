"""Semantic classes of the generated world and the colours in which every picture shows them."""

from __future__ import annotations

import numpy as np

CLASS_NAMES = (
    'free',
    'road',
    'sidewalk',
    'terrain',
    'building',
    'vegetation',
    'pole',
    'pedestrian',
    'vehicle',
    'other',
)

CLASS_COLORS = np.array(
    [
        [135, 176, 222],
        [100, 96, 110],
        [196, 160, 168],
        [140, 168, 96],
        [198, 150, 110],
        [62, 130, 60],
        [225, 205, 80],
        [220, 60, 80],
        [60, 90, 200],
        [150, 150, 150],
    ],
    np.uint8,
)
