"""Markings of the main road as one long texture over road coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.road import RoadPlan

FloatArray = NDArray[np.float64]
METRES_PER_TEXEL = 0.05


class RoadPaint:
    """A canvas [S,D,4] over the roadway: row = station, column = offset; last channel is cover."""

    def __init__(self, plan: RoadPlan) -> None:
        self._plan = plan
        rows = int(np.ceil((plan.end - plan.start) / METRES_PER_TEXEL))
        columns = int(np.ceil(2 * plan.half_width / METRES_PER_TEXEL))
        self.image = np.zeros((rows, columns, 4), np.float32)

    def rectangle(
        self, s: tuple[float, float], d: tuple[float, float], color: FloatArray, cover: float
    ) -> None:
        """Paint a rectangle given in road coordinates (metres)."""
        rows = [self._row(v) for v in s]
        columns = [self._column(v) for v in d]
        patch = self.image[rows[0] : rows[1], columns[0] : columns[1]]
        patch[..., :3], patch[..., 3] = color, 255.0 * cover

    def _row(self, s: float) -> int:
        return int(np.clip((s - self._plan.start) / METRES_PER_TEXEL, 0, self.image.shape[0]))

    def _column(self, d: float) -> int:
        metres = d + self._plan.half_width
        return int(np.clip(metres / METRES_PER_TEXEL, 0, self.image.shape[1]))


def paint_road(rng: np.random.Generator, plan: RoadPlan) -> NDArray[np.float32]:
    """Return the markings [S,D,4]: colour times cover, and cover, in 0..255.

    The first row lies at `plan.start`, the first column at the right-hand kerb.
    """
    paint = RoadPaint(plan)
    white = np.array([235.0, 235.0, 228.0])
    _repairs(rng, paint, plan)
    _centre_line(rng, paint, plan, white)
    _edge_lines(paint, plan, white)
    for s in plan.crossings:
        _zebra(paint, plan, s, white)
    worn = rng.uniform(0.72, 1.0, paint.image.shape[:2])
    paint.image[..., 3] *= worn
    paint.image[..., :3] *= paint.image[..., 3:] / 255.0
    return paint.image


def _repairs(rng: np.random.Generator, paint: RoadPaint, plan: RoadPlan) -> None:
    """Patched asphalt, tar seams, manholes and oil stains."""
    for _ in range(int((plan.end - plan.start) * 0.35)):
        s = rng.uniform(plan.start, plan.end)
        d = rng.uniform(-plan.half_width, plan.half_width)
        size = rng.choice([[0.12, 3.5], [2.5, 0.12], [0.7, 0.7], [1.8, 1.2], [5.0, 1.4]])
        color = np.full(3, rng.choice([32.0, 48.0, 70.0, 150.0]))
        paint.rectangle((s, s + size[0]), (d, d + size[1]), color, rng.uniform(0.4, 0.85))


def _centre_line(
    rng: np.random.Generator, paint: RoadPaint, plan: RoadPlan, color: FloatArray
) -> None:
    solid, dash = rng.uniform() < 0.25, rng.uniform(2.0, 4.0)
    for s in np.arange(plan.start, plan.end, 2 * dash):
        paint.rectangle((s, s + (2 * dash if solid else dash)), (-0.08, 0.08), color, 0.95)


def _edge_lines(paint: RoadPaint, plan: RoadPlan, color: FloatArray) -> None:
    for side in (-1, 1):
        edge = side * plan.lane_width
        if not plan.parking:
            paint.rectangle((plan.start, plan.end), (edge - 0.06, edge + 0.06), color, 0.9)
            continue
        low, high = sorted((edge, side * plan.half_width))
        for s in np.arange(plan.start, plan.end, 5.5):
            paint.rectangle((s, s + 0.10), (low, high), color, 0.8)
            paint.rectangle((s, s + 1.0), (edge - 0.05, edge + 0.05), color, 0.8)


def _zebra(paint: RoadPaint, plan: RoadPlan, s: float, color: FloatArray) -> None:
    for d in np.arange(-plan.half_width + 0.3, plan.half_width - 0.3, 1.0):
        paint.rectangle((s - 1.6, s + 1.6), (d, d + 0.5), color, 0.95)
    paint.rectangle((s - 3.2, s - 2.9), (-plan.lane_width, 0.0), color, 0.95)
    paint.rectangle((s + 2.9, s + 3.2), (0.0, plan.lane_width), color, 0.95)
