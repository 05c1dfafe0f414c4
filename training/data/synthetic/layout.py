"""Places everything along the street: buildings, gardens, trees, furniture, parked vehicles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic import street_furniture as furniture
from training.data.synthetic.buildings import building
from training.data.synthetic.meshes import Mesh, pose
from training.data.synthetic.pedestrians import pedestrian
from training.data.synthetic.road import SideStreet
from training.data.synthetic.style import Density, Surfaces
from training.data.synthetic.terrain import Terrain
from training.data.synthetic.trees import any_tree, bush, hedge
from training.data.synthetic.vehicles import any_vehicle

FloatArray = NDArray[np.float64]


class StreetLayout:
    """Collects the static meshes of a street in world coordinates.

    Args:
        rng: source of randomness.
        terrain: the land.
        surfaces: materials.
        density: how much of everything.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        terrain: Terrain,
        surfaces: Surfaces,
        density: Density,
    ) -> None:
        self._rng, self._terrain, self._surfaces = rng, terrain, surfaces
        self._density = density
        self._plan = terrain.plan
        self.meshes: list[Mesh] = []

    def build(self) -> list[Mesh]:
        """Furnish both sides of the street and its ends, return all meshes."""
        for side in (-1, 1):
            self._building_row(side)
            self._gardens(side)
            self._street_trees(side)
            self._furniture(side)
            self._standing_people(side)
            if self._plan.parking:
                self._parked_vehicles(side)
        for street in self._plan.side_streets:
            self._side_street(street)
        self._ends()
        return self.meshes

    def put(self, mesh: Mesh, s: float, d: float, yaw: float = 0.0, above: float = 0.0) -> None:
        """Stand a mesh on the ground at road coordinates, yaw relative to the road."""
        x, y, z = self._terrain.position(s, d, above)
        self.meshes.append(mesh.transformed(pose(x, y, z, float(self._terrain.heading(s)) + yaw)))

    def _clear(self, s: float, side: int, margin: float) -> bool:
        return self._plan.is_clear(s, side, margin)

    def _building_row(self, side: int) -> None:
        """Buildings wall to wall or with gaps; a gap gets trees and a fence."""
        rng, plan = self._rng, self._plan
        s = plan.start + rng.uniform(0, 8)
        while s < plan.end - 6:
            longest = self._free_length(s, side)
            if longest < 8.0:
                s += max(longest, 1.0)
                continue
            if rng.uniform() < self._density.building:
                s += self._building(s, side, longest) + rng.choice([0.3, 1.5, 4.0])
            else:
                s += self._gap(s, side, min(longest, rng.uniform(6, 16)))

    def _free_length(self, s: float, side: int) -> float:
        """Metres from s to the next side street of that side (zero inside one)."""
        ends = [self._plan.end - s]
        for street in self._plan.side_streets:
            low, high = street.s - street.half_width - 3.0, street.s + street.half_width + 3.0
            if street.side == side and s < high:
                ends.append(max(low - s, 0.0))
        return float(min(ends))

    def _building(self, s: float, side: int, longest: float) -> float:
        """Build a house whose near corner is at s; return its length."""
        rng, density = self._rng, self._density
        floors = int(rng.integers(density.floors[0], density.floors[1] + 1))
        house = building(rng, self._surfaces.building(), floors, min(longest, rng.uniform(9, 26)))
        setback = density.setback_m * rng.uniform(0.6, 1.3) + 0.3
        d = self._plan.property_line + setback + house.depth / 2
        middle = s + house.length / 2
        self._stand_house(house.mesh, middle, side * d, 0.0 if side > 0 else np.pi, house.length)
        if rng.uniform() < 0.5 and house.depth < 14.0:
            self._back_house(middle, side, d + house.depth / 2)
        return house.length

    def _stand_house(self, mesh: Mesh, s: float, d: float, yaw: float, length: float) -> None:
        front = d - np.sign(d) * 5.0
        heights = self._terrain.height(np.array([s - length / 2, s, s + length / 2]), front)
        lift = float(heights.max() - self._terrain.height(s, d)) + 0.05
        self.put(mesh, s, d, yaw, lift)

    def _back_house(self, s: float, side: int, d: float) -> None:
        surface = self._surfaces.building()
        house = building(self._rng, surface, int(self._rng.integers(2, 6)), 16.0)
        depth = d + self._rng.uniform(8, 14) + house.depth / 2
        if self._clear(s, side, house.length / 2 + 2.0):
            yaw = 0.0 if side > 0 else np.pi
            self._stand_house(house.mesh, s, side * depth, yaw, house.length)

    def _gap(self, s: float, side: int, length: float) -> float:
        """Leave a green gap with trees, bushes and perhaps a fence; return its length."""
        rng, line = self._rng, self._plan.property_line
        for _ in range(int(length / 3.5)):
            tree = any_tree(rng, self._surfaces.plain('bark', 'vegetation'), self._surfaces.leaf())
            self.put(tree, s + rng.uniform(1, length), side * (line + rng.uniform(3, 16)))
        if rng.uniform() < 0.6:
            wood = self._surfaces.plain('wood' if rng.uniform() < 0.6 else 'brick', 'other')
            board = furniture.fence(length - 0.6, wood, rng.uniform(0.9, 1.8))
            self.put(board, s + length / 2, side * (line + 0.3))
        return length

    def _gardens(self, side: int) -> None:
        """Hedges, bushes and fences between sidewalk and house where there is room."""
        rng, room = self._rng, self._density.setback_m
        if room < 1.2:
            return
        for s in np.arange(self._plan.start + 3.0, self._plan.end, 6.0):
            if not self._clear(float(s), side, 4.5):
                continue
            d = side * (self._plan.property_line + 0.6)
            choice = rng.uniform()
            if choice < 0.35:
                self.put(hedge(rng, 5.2, self._surfaces.leaf()), float(s), d)
            elif choice < 0.65:
                self.put(bush(rng, self._surfaces.leaf()), float(s), d * 1.06)
            elif choice < 0.75:
                wood = self._surfaces.plain('wood', 'other')
                self.put(furniture.fence(5.6, wood, rng.uniform(0.6, 1.2)), float(s), d)

    def _street_trees(self, side: int) -> None:
        rng, spacing = self._rng, self._density.tree_spacing_m
        for s in np.arange(self._plan.start + rng.uniform(0, 6), self._plan.end, spacing):
            if rng.uniform() < self._density.tree and self._clear(float(s), side, 3.5):
                bark = self._surfaces.plain('bark', 'vegetation')
                d = side * (self._plan.half_width + 0.75)
                self.put(any_tree(rng, bark, self._surfaces.leaf()), float(s), d)

    def _furniture(self, side: int) -> None:
        """Lamps in a row, signs and small things between them."""
        rng, kerb = self._rng, self._plan.half_width
        facing = 0.0 if side < 0 else np.pi
        spacing = rng.uniform(18, 30)
        lamp = furniture.street_lamp(rng, self._surfaces.metal())
        for s in np.arange(self._plan.start + rng.uniform(4, 12), self._plan.end, spacing):
            if self._clear(float(s), side, 1.5):
                self.put(lamp, float(s), side * (kerb + 0.5), -side * np.pi / 2)
        for s in np.arange(self._plan.start + 2.0, self._plan.end, 7.5):
            if rng.uniform() < 0.75 and self._clear(float(s), side, 2.0):
                thing, depth, turn = self._small_thing(facing)
                self.put(thing, float(s + rng.uniform(-1, 1)), side * (kerb + depth), turn)
        for s in self._plan.crossings:
            lights = (
                self._surfaces.plain('metal', 'pole', (0.15, 0.9, 0.4)),
                self._surfaces.plain('metal', 'pole', (0.25, 0.2, 0.1)),
                self._surfaces.plain('metal', 'pole', (0.3, 0.05, 0.05)),
            )
            light = furniture.traffic_light(self._surfaces.metal(), lights)
            self.put(light, s + side * 2.4, side * (kerb + 0.4), facing)

    def _small_thing(self, facing: float) -> tuple[Mesh, float, float]:
        """Return a mesh, its distance behind the kerb and its yaw."""
        rng, surfaces = self._rng, self._surfaces
        back = self._plan.sidewalk_width - 0.6
        outward = np.pi if facing == 0.0 else 0.0
        kind = int(rng.choice(6, p=(0.36, 0.2, 0.18, 0.12, 0.08, 0.06)))
        if kind == 0:
            board = surfaces.metal('pole', 0.9)
            return furniture.road_sign(rng, surfaces.metal(), board), 0.45, facing
        if kind == 1:
            return furniture.bin_or_box(rng, surfaces.metal('other', 0.5)), back, facing
        if kind == 2:
            return furniture.bollard(surfaces.metal('pole', 0.5)), 0.35, facing
        if kind == 3:
            wood = surfaces.plain('wood', 'other')
            return furniture.bench(wood, surfaces.metal('other')), back, outward
        if kind == 4:
            return bush(rng, surfaces.leaf()), back + 0.4, facing
        glass, poster = surfaces.plain('glass', 'other'), surfaces.plain('poster', 'other')
        shelter = furniture.bus_shelter(glass, surfaces.metal('other'), poster)
        return shelter, back - 0.4, outward

    def _standing_people(self, side: int) -> None:
        rng, plan = self._rng, self._plan
        for slot in np.arange(plan.start, plan.end, 2.2 * self._density.pedestrian_spacing_m):
            s = float(slot + rng.uniform(-4, 4))
            if not self._clear(s, side, 1.0):
                continue
            for i in range(int(rng.integers(1, 3))):
                person = pedestrian(rng, *self._surfaces.person()).striding(0.0)
                d = plan.half_width + rng.uniform(0.5, plan.sidewalk_width - 0.5)
                self.put(person, s + 0.8 * i, side * d, rng.uniform(0, 2 * np.pi))

    def _parked_vehicles(self, side: int) -> None:
        rng, plan = self._rng, self._plan
        s = plan.start + 4.0
        while s < plan.end - 4.0:
            parked = any_vehicle(rng, self._surfaces.vehicle())
            middle = s + parked.length / 2
            s += parked.length + rng.uniform(0.5, 1.6)
            at_crossing = any(abs(middle - c) < 7.0 for c in plan.crossings)
            clear = self._clear(middle, side, parked.length / 2 + 3.0) and not at_crossing
            if clear and rng.uniform() < self._density.parked:
                d = side * (plan.half_width - 0.15 - parked.width / 2)
                yaw = (0.0 if side < 0 else np.pi) + rng.normal(0, 0.012)
                self._put_level(parked.mesh, middle, d, yaw, parked.length)

    def _put_level(self, mesh: Mesh, s: float, d: float, yaw: float, length: float) -> None:
        """Stand a vehicle on the ground, pitched along the slope."""
        ends = self._terrain.height(np.array([s - 0.3 * length, s + 0.3 * length]), d)
        pitch = -float(np.arctan2(ends[1] - ends[0], 0.6 * length)) * np.cos(yaw)
        x, y, _ = self._terrain.position(s, d)
        heading = float(self._terrain.heading(s)) + yaw
        self.meshes.append(mesh.transformed(pose(x, y, float(ends.mean()), heading, pitch)))

    def _side_street(self, street: SideStreet) -> None:
        """Houses, parked cars and trees along a side street, and a house that closes its view."""
        for along in (-1, 1):
            self._side_street_houses(street, along)
            self._side_street_kerb(street, along)
        house = building(self._rng, self._surfaces.building(), 4, 26.0)
        yaw = 0.0 if street.side > 0 else np.pi
        self._stand_house(house.mesh, street.s, street.side * 72.0, yaw, house.length)

    def _side_street_houses(self, street: SideStreet, along: int) -> None:
        """Line one side (along: -1 before, +1 after it on the road) with houses that face it."""
        rng, d = self._rng, self._plan.property_line + self._rng.uniform(20, 26)
        while d < 62:
            house = building(rng, self._surfaces.building(), int(rng.integers(1, 5)), 14.0)
            s = street.s + along * (street.half_width + 3.0 + house.depth / 2)
            middle = street.side * (d + house.length / 2)
            self._stand_house(house.mesh, s, middle, -along * np.pi / 2, 4.0)
            d += house.length + rng.uniform(1, 5)

    def _side_street_kerb(self, street: SideStreet, along: int) -> None:
        """Park cars along one side, and plant trees between them."""
        rng = self._rng
        for d in np.arange(self._plan.property_line + 4, 60, 7.0):
            if rng.uniform() < 0.45:
                parked = any_vehicle(rng, self._surfaces.vehicle())
                s = street.s + along * (street.half_width - 0.2 - parked.width / 2)
                yaw = np.pi / 2 * rng.choice([-1, 1])
                self.put(parked.mesh, s, street.side * float(d), yaw)
            elif rng.uniform() < 0.5:
                bark = self._surfaces.plain('bark', 'vegetation')
                tree = any_tree(rng, bark, self._surfaces.leaf())
                s = street.s + along * (street.half_width + 1.2)
                self.put(tree, s, street.side * float(d))

    def _ends(self) -> None:
        """Close the view along the road with blocks and trees across it."""
        rng = self._rng
        for s, yaw in ((self._plan.start + 2, np.pi / 2), (self._plan.end - 2, -np.pi / 2)):
            for d in np.arange(-60, 61, 20.0):
                house = building(rng, self._surfaces.building(), int(rng.integers(3, 6)), 19.0)
                self._stand_house(house.mesh, s, float(d) + 0.1, yaw, 10.0)
