"""What moves: vehicles that drive and people who walk, as rigid parts posed by time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.meshes import Mesh, concatenate, pose
from training.data.synthetic.pedestrians import Pedestrian, pedestrian
from training.data.synthetic.style import Density, Surfaces
from training.data.synthetic.terrain import Terrain
from training.data.synthetic.trajectory import EgoPath
from training.data.synthetic.vehicles import Vehicle, any_vehicle

FloatArray = NDArray[np.float64]
STEPS_HZ = 0.8
VEHICLE_RANGE_M, PEDESTRIAN_RANGE_M = 90.0, 60.0


@dataclass(frozen=True)
class Mover:
    """Something that moves along the road.

    Attributes:
        station: maps seconds to the station s in metres.
        range_m: distance in s from the ego beyond which it is left out.
        size: number of triangles.
        at: maps seconds to the mesh in world coordinates.
    """

    station: Callable[[float], float]
    range_m: float
    size: int
    at: Callable[[float], Mesh]


def _vehicle(
    terrain: Terrain, vehicle: Vehicle, station: Callable[[float], float], forward: int
) -> Mover:
    """Drive a vehicle in the lane of its direction (forward is +1 along s, else -1)."""
    d = -forward * terrain.plan.lane_width / 2

    def at(time_s: float) -> Mesh:
        s = station(time_s)
        ends = terrain.height(s + np.array([-0.3, 0.3]) * vehicle.length, d)
        pitch = -forward * float(np.arctan2(ends[1] - ends[0], 0.6 * vehicle.length))
        x, y = terrain.world_from_road(s, d)
        yaw = float(terrain.heading(s)) + (0.0 if forward > 0 else np.pi)
        return vehicle.mesh.transformed(pose(x, y, float(ends.mean()), yaw, pitch))

    return Mover(station, VEHICLE_RANGE_M, len(vehicle.mesh), at)


def oncoming_vehicles(
    rng: np.random.Generator, terrain: Terrain, surfaces: Surfaces, duration_s: float
) -> list[Mover]:
    """Return vehicles that come towards the ego on the other lane, at one common speed."""
    plan, speed = terrain.plan, float(rng.uniform(5.0, 10.0))
    movers, s = [], plan.start + float(rng.uniform(40, 90))
    while s < plan.end + speed * duration_s:
        vehicle = any_vehicle(rng, surfaces.vehicle())
        movers.append(_vehicle(terrain, vehicle, _steady(s, -speed), -1))
        s += float(rng.uniform(16, 75))
    return movers


def _steady(start: float, speed: float) -> Callable[[float], float]:
    return lambda time_s: start + speed * time_s


def companion_vehicles(
    rng: np.random.Generator, terrain: Terrain, surfaces: Surfaces, ego: EgoPath
) -> list[Mover]:
    """Return perhaps one vehicle ahead of the ego and one behind it, in its lane."""
    movers = []
    for sign, chance in ((1, 0.5), (-1, 0.4)):
        if rng.uniform() < chance:
            vehicle = any_vehicle(rng, surfaces.vehicle())
            gap, lead_s = sign * rng.uniform(12.0, 26.0), sign * rng.uniform(0.3, 1.2)
            movers.append(_vehicle(terrain, vehicle, _accompanying(ego, gap, lead_s), 1))
    return movers


def _accompanying(ego: EgoPath, gap: float, lead_s: float) -> Callable[[float], float]:
    """Keep a gap to where the ego is a moment later (or earlier), so that it breathes."""
    return lambda time_s: ego.station(time_s + lead_s) + gap


def walking_people(
    rng: np.random.Generator, terrain: Terrain, surfaces: Surfaces, density: Density
) -> list[Mover]:
    """Return people who walk along both sidewalks."""
    movers, plan = [], terrain.plan
    for side in (-1, 1):
        s = plan.start
        while s < plan.end:
            s += density.pedestrian_spacing_m * rng.uniform(0.6, 1.8)
            person = pedestrian(rng, *surfaces.person())
            d = side * (plan.half_width + rng.uniform(1.5, plan.sidewalk_width - 0.4))
            speed = rng.uniform(0.9, 1.6) * rng.choice([-1, 1])
            movers.append(_walker(terrain, person, s, d, speed, rng.uniform(0, 6.28)))
    return movers


def _walker(
    terrain: Terrain, person: Pedestrian, start: float, d: float, speed: float, phase: float
) -> Mover:
    station = _steady(start, speed)

    def at(time_s: float) -> Mesh:
        s = station(time_s)
        x, y, z = terrain.position(s, d)
        yaw = float(terrain.heading(s)) + (0.0 if speed > 0 else np.pi)
        swing = 0.45 * np.sin(2 * np.pi * STEPS_HZ * time_s + phase)
        return person.striding(float(swing)).transformed(pose(x, y, z, yaw))

    return Mover(station, PEDESTRIAN_RANGE_M, len(person.striding(0.0)), at)


def moved(movers: list[Mover], ego: EgoPath, time_s: float) -> Mesh:
    """Return the movers within their range of the ego at a time, in world coordinates."""
    here = ego.station(time_s)
    near = [m for m in movers if abs(m.station(time_s) - here) < m.range_m]
    return concatenate([mover.at(time_s) for mover in near])
