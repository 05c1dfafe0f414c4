"""Makes exact classes of a generated image as wrong as those of a 2-D segmenter.

Two kinds of error: edges between classes lie a pixel or a few off, together over a stretch of the
image; and whole segments (connected pixels of one class) get a class that they could be taken for.
Frames err independently of each other, which real segmenters do not quite: they go on to take a
thing for what it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.semantics import CLASS_NAMES

CONFUSABLE: Mapping[str, tuple[str, ...]] = {
    'road': ('sidewalk', 'terrain'),
    'sidewalk': ('road', 'terrain'),
    'terrain': ('sidewalk', 'vegetation'),
    'building': ('vegetation', 'other'),
    'vegetation': ('terrain', 'building'),
    'pole': ('building', 'vegetation', 'other'),
    'pedestrian': ('pole', 'other'),
    'vehicle': ('building', 'other'),
    'other': ('building', 'vehicle'),
}
"""What each class is mistaken for. Nothing is taken for the sky, nor the sky for anything."""

_IDS = {name: index for index, name in enumerate(CLASS_NAMES)}
_STRETCH_PX = 12  # over which edges move together
_LARGEST_JITTER_PX = 20.0


@dataclass(frozen=True)
class LabelNoise:
    """How wrong labels are.

    Attributes:
        flipped: Probability that a segment gets a wrong class, 0 to 1.
        jitter_px: Standard deviation of the shift of edges in pixels, along each axis.
    """

    flipped: float = 0.1
    jitter_px: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.flipped <= 1:
            raise SelfOccError(f'noise of {self.flipped:g} is no probability: choose 0 to 1')
        if not 0 <= self.jitter_px <= _LARGEST_JITTER_PX:
            raise SelfOccError(
                f'edges cannot move by {self.jitter_px:g} pixels: choose 0 to '
                f'{_LARGEST_JITTER_PX:g}'
            )

    def apply(self, labels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """Return labels ``[H, W]`` of the generated world with errors."""
        return _jittered(_flipped(labels, self.flipped, random), self.jitter_px, random)


def _flipped(
    labels: NDArray[np.uint8], probability: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    result = labels.copy()
    for name, others in CONFUSABLE.items():
        count, segments = cv2.connectedComponents((labels == _IDS[name]).astype(np.uint8))
        for segment in range(1, count):  # 0 is the rest of the image
            other = others[random.integers(len(others))]
            if random.random() < probability:
                result[segments == segment] = _IDS[other]
    return np.asarray(result, np.uint8)


def _jittered(
    labels: NDArray[np.uint8], jitter_px: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Take each label from a place nearby, by a shift that changes smoothly."""
    height, width = labels.shape
    coarse = random.normal(size=(2, height // _STRETCH_PX + 2, width // _STRETCH_PX + 2))
    shifts = [cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR) for c in coarse]
    rows, columns = np.mgrid[:height, :width]
    v = np.rint(rows + jitter_px * shifts[0]).astype(np.int64).clip(0, height - 1)
    u = np.rint(columns + jitter_px * shifts[1]).astype(np.int64).clip(0, width - 1)
    return np.asarray(labels[v, u], np.uint8)
