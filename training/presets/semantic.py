"""Ours with classes: occupancy that says what it is, from video and pseudo-labels."""

from __future__ import annotations

from dataclasses import replace

from selfocc_core.semantics import CLASS_NAMES
from training.presets.small import SELFOCC_TINY

SELFOCC_TINY_SEMANTIC = replace(
    SELFOCC_TINY,
    name='selfocc-tiny-semantic',
    summary='selfocc-tiny with the classes of generated worlds; needs pseudo-labels',
    model=replace(
        SELFOCC_TINY.model,
        # Without the first, free space and sky: they are no surface and have no label.
        decoder=replace(SELFOCC_TINY.model.decoder, class_names=CLASS_NAMES[1:]),
    ),
    losses=replace(SELFOCC_TINY.losses, semantic=0.1),
)
