"""How the ego drives: speed over time along the road, on the ground, with a moving suspension."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selfocc_core.transforms import Transform
from training.data.synthetic.terrain import Terrain

FloatArray = NDArray[np.float64]
WHEELBASE_M = 2.7
TRACK_M = 1.55
MARGIN_S = 6.0
_TICK_S = 0.01


class EgoPath:
    """The ego's motion: 4 to 11 m/s in the right-hand lane.

    Args:
        rng: source of randomness.
        terrain: the land.
        duration_s: length of the drive; poses exist from -MARGIN_S to duration_s + MARGIN_S.
    """

    def __init__(self, rng: np.random.Generator, terrain: Terrain, duration_s: float) -> None:
        self._terrain = terrain
        self._ticks = np.arange(-MARGIN_S, duration_s + MARGIN_S + _TICK_S, _TICK_S)
        mean, period = rng.uniform(6.0, 9.0), rng.uniform(5.0, 12.0, 2)
        phase, swing = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.6, 1.8, 2)
        speed = mean + (swing * np.sin(2 * np.pi * self._ticks[:, None] / period + phase)).sum(1)
        self._stations = self._integrate(np.clip(speed, 4.0, 11.0))
        self._wander = rng.uniform(0.05, 0.22), rng.uniform(40.0, 80.0), rng.uniform(0, 6.28)
        self._sway = (
            rng.uniform(0.002, 0.010, 3),
            rng.uniform(0.8, 2.2, 3),
            rng.uniform(0, 6.28, 3),
        )

    def _integrate(self, speed: FloatArray) -> FloatArray:
        stations = np.empty_like(speed)
        s = 0.0
        for i, v in enumerate(speed):
            stations[i] = s
            s += float(v * _TICK_S / self._terrain.stretch(s))
        return np.asarray(stations - np.interp(0.0, self._ticks, stations))

    def station(self, time_s: float) -> float:
        """Return the station of the rear axle in metres."""
        return float(np.interp(time_s, self._ticks, self._stations))

    def _offset(self, s: float) -> float:
        amplitude, wavelength, phase = self._wander
        wander = amplitude * np.sin(2 * np.pi * s / wavelength + phase)
        return float(-self._terrain.plan.lane_width / 2 + wander)

    def world_from_ego(self, time_s: float) -> Transform:
        """Return the pose of `base_link` (rear axle, on the ground) at a time in seconds."""
        s = self.station(time_s)
        rear, front = self._on_road(s), self._on_road(s + WHEELBASE_M)
        forward = front - rear
        heading = np.arctan2(forward[1], forward[0])
        pitch = -np.arctan2(forward[2], np.hypot(forward[0], forward[1]))
        sway = self._sway[0] * np.sin(2 * np.pi * self._sway[1] * time_s + self._sway[2])
        return _pose(rear, heading + 0.2 * sway[2], pitch + sway[0], self._roll(s) + sway[1])

    def _on_road(self, s: float) -> FloatArray:
        return self._terrain.position(s, self._offset(s))

    def _roll(self, s: float) -> float:
        middle = self._offset(s)
        left, right = self._terrain.height(
            s, np.array([middle + TRACK_M / 2, middle - TRACK_M / 2])
        )
        return float(np.arctan2(left - right, TRACK_M))


def _pose(position: FloatArray, yaw: float, pitch: float, roll: float) -> Transform:
    """Return world_from_ego: yaw about z, pitch about y (nose down positive), roll about x."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    world_from_ego = np.eye(4)
    world_from_ego[:3, :3] = (
        np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
        @ np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
        @ np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    )
    world_from_ego[:3, 3] = position
    return world_from_ego
