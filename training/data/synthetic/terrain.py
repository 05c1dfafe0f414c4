"""The shape of the land: where the road runs and how high the ground is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.road import KERB_RAMP_M, RoadPlan

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SineSum:
    """A smooth random function of one variable, a sum of sines.

    Attributes:
        amplitude, wavenumber, phase: one entry per sine, wavenumber in rad/m.
        offset: constant term.
    """

    amplitude: FloatArray
    wavenumber: FloatArray
    phase: FloatArray
    offset: float = 0.0

    def __call__(self, x: FloatArray | float) -> FloatArray:
        """Return the value at x (any shape)."""
        angle = np.asarray(x)[..., None] * self.wavenumber + self.phase
        return np.asarray(self.offset + (self.amplitude * np.sin(angle)).sum(-1))

    def slope(self, x: FloatArray | float) -> FloatArray:
        """Return the first derivative at x (any shape)."""
        angle = np.asarray(x)[..., None] * self.wavenumber + self.phase
        return np.asarray((self.amplitude * self.wavenumber * np.cos(angle)).sum(-1))


def sines_of_slope(
    rng: np.random.Generator, slopes: tuple[float, float], wavelengths_m: tuple[float, float]
) -> SineSum:
    """Draw two sines whose greatest slopes and wavelengths lie in the given ranges."""
    wavenumber = 2 * np.pi / rng.uniform(*wavelengths_m, 2)
    amplitude = rng.uniform(*slopes, 2) / wavenumber
    return SineSum(amplitude, wavenumber, rng.uniform(0, 2 * np.pi, 2))


def sines_of_amplitude(
    rng: np.random.Generator, amplitude_m: float, wavelengths_m: tuple[float, float], offset: float
) -> SineSum:
    """Draw three sines that together stay within the amplitude about the offset."""
    share = rng.dirichlet(np.ones(3)) * amplitude_m
    wavenumber = 2 * np.pi / rng.uniform(*wavelengths_m, 3)
    return SineSum(share, wavenumber, rng.uniform(0, 2 * np.pi, 3), offset)


def smoothstep(x: FloatArray) -> FloatArray:
    """Return 0 below 0, 1 above 1, smooth between."""
    t = np.clip(x, 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


class Terrain:
    """Ground height and the road coordinates (s along, d to the left of the centre line).

    Longitudinal slopes reach 4 %, the roadway has a crown, kerbs step up to the sidewalks, and the
    land beyond rises or falls by up to a metre; fine undulation lies over everything.

    Args:
        rng: source of randomness.
        plan: plan of the road.
    """

    def __init__(self, rng: np.random.Generator, plan: RoadPlan) -> None:
        self.plan = plan
        self._centre = sines_of_slope(rng, (0.02, 0.15), (170.0, 400.0))
        self._elevation = sines_of_slope(rng, (0.006, 0.02), (110.0, 240.0))
        self._crown = rng.uniform(0.015, 0.028)
        self._banks = {
            side: sines_of_amplitude(rng, 0.6, (35.0, 90.0), rng.uniform(-0.35, 0.45))
            for side in (-1, 1)
        }
        self._ripples = [
            (rng.uniform(0.010, 0.022), *(rng.uniform(0.25, 0.9, 2)), rng.uniform(0, 6.28))
            for _ in range(4)
        ]

    def world_from_road(self, s: FloatArray | float, d: FloatArray | float) -> FloatArray:
        """Return the world position (x, y) in metres of road coordinates, [...,2]."""
        slope = self._centre.slope(s)
        scale = 1.0 / np.sqrt(1.0 + slope**2)
        x = np.asarray(s) - np.asarray(d) * slope * scale
        y = self._centre(s) + np.asarray(d) * scale
        return np.stack(np.broadcast_arrays(x, y), axis=-1)

    def heading(self, s: FloatArray | float) -> FloatArray:
        """Return the direction of the road in radians from the world's x axis."""
        return np.asarray(np.arctan(self._centre.slope(s)))

    def stretch(self, s: FloatArray | float) -> FloatArray:
        """Return metres of centre line per metre of s."""
        return np.asarray(np.sqrt(1.0 + self._centre.slope(s) ** 2))

    def height(self, s: FloatArray | float, d: FloatArray | float) -> FloatArray:
        """Return the height of the ground in metres at road coordinates."""
        s, d = np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(d, np.float64))
        out, plan = np.abs(d), self.plan
        raised = np.clip((out - plan.half_width) / KERB_RAMP_M, 0.0, 1.0)
        raised = raised * (1.0 - plan.in_side_street(s, d))
        crown = -self._crown * np.minimum(out, plan.half_width)
        bank = np.where(d > 0, self._banks[1](s), self._banks[-1](s))
        bank = bank * smoothstep((out - plan.property_line) / 11.0)
        rough = 1.0 + 3.0 * smoothstep((out - plan.property_line) / 8.0)
        return np.asarray(
            self._elevation(s)
            + crown
            + plan.kerb_height * raised
            + bank
            + rough * self._ripple(s, d)
        )

    def _ripple(self, s: FloatArray, d: FloatArray) -> FloatArray:
        waves = [a * np.sin(ks * s + kd * d + phase) for a, ks, kd, phase in self._ripples]
        return np.asarray(np.sum(waves, axis=0) * 0.5)

    def position(self, s: float, d: float, above: float = 0.0) -> FloatArray:
        """Return the world position (x, y, z) of a point above the ground."""
        x, y = self.world_from_road(s, d)
        return np.array([x, y, float(self.height(s, d)) + above])
