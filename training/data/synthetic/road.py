"""The plan of the road: lanes, sidewalks, crossings and side streets along its centre line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
KERB_RAMP_M = 0.02


@dataclass(frozen=True)
class SideStreet:
    """A street that leaves the road at a right angle.

    Attributes:
        s: station of its centre line in metres.
        side: +1 left, -1 right.
        half_width: half its roadway in metres.
    """

    s: float
    side: int
    half_width: float


@dataclass(frozen=True)
class RoadPlan:
    """Cross-section and junctions of the road.

    Attributes:
        start, end: stations between which the world exists, metres.
        lane_width: width of a lane in metres.
        parking: whether there is a parking strip (left, right).
        half_width: centre line to kerb in metres.
        sidewalk_width: kerb to property line in metres.
        kerb_height: step of the kerb in metres.
        side_streets: streets that leave the road.
        crossings: stations of the zebra crossings.
    """

    start: float
    end: float
    lane_width: float
    parking: bool
    half_width: float
    sidewalk_width: float
    kerb_height: float
    side_streets: tuple[SideStreet, ...]
    crossings: tuple[float, ...]

    @property
    def property_line(self) -> float:
        """Distance from the centre line to the back of the sidewalk in metres."""
        return self.half_width + self.sidewalk_width

    def in_side_street(self, s: FloatArray, d: FloatArray, margin: float = 0.0) -> FloatArray:
        """Return 1 where (s, d) lies on the roadway of a side street (or the margin), else 0.

        The value falls to 0 over the kerb ramp, so that it can shape the ground.
        """
        inside = np.zeros(np.broadcast(s, d).shape)
        for street in self.side_streets:
            beyond = np.abs(s - street.s) - street.half_width - margin
            share = np.clip(1.0 - beyond / KERB_RAMP_M, 0.0, 1.0) * (d * street.side > 0)
            inside = np.maximum(inside, share)
        return inside

    def is_clear(self, s: float, side: int, margin: float) -> bool:
        """Tell whether a station is farther than margin from every side street of that side."""
        return all(
            abs(s - street.s) > street.half_width + margin
            for street in self.side_streets
            if street.side == side
        )


def plan_road(rng: np.random.Generator, start: float, end: float) -> RoadPlan:
    """Draw the plan of a road between two stations."""
    lane_width = rng.uniform(3.0, 3.7)
    parking = bool(rng.uniform() < 0.75)
    half_width = lane_width + (2.2 if parking else 0.5)
    return RoadPlan(
        start=start,
        end=end,
        lane_width=lane_width,
        parking=parking,
        half_width=half_width,
        sidewalk_width=rng.uniform(2.4, 4.0),
        kerb_height=rng.uniform(0.10, 0.14),
        side_streets=_side_streets(rng, start, end),
        crossings=tuple(np.arange(start + rng.uniform(30, 80), end, rng.uniform(55, 110))),
    )


def _side_streets(rng: np.random.Generator, start: float, end: float) -> tuple[SideStreet, ...]:
    streets = []
    for side in (-1, 1):
        s = start + rng.uniform(30, 75)
        while s < end - 15:
            streets.append(SideStreet(float(s), side, float(rng.uniform(2.8, 4.0))))
            s += rng.uniform(45, 110)
    return tuple(streets)
