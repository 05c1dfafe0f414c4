"""Semantic classes of the generated world and the colours in which every picture shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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


def class_colors(names: Sequence[str]) -> NDArray[np.uint8]:
    """Return a colour ``[K, 3]`` for each class: this project's own, else one of its hash."""
    own = dict(zip(CLASS_NAMES, CLASS_COLORS, strict=True))
    colors = [own[name] if name in own else _color_of(name) for name in names]
    return np.array(colors, np.uint8).reshape(-1, 3)


def _color_of(name: str) -> list[int]:
    """Return a colour that is the same everywhere and neither dark nor white."""
    digest = hashlib.sha256(name.encode()).digest()
    return [64 + byte % 160 for byte in digest[:3]]
