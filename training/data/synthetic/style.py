"""The look of one world: colours, density, weather, and the surfaces made from them."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from selfocc_core.semantics import CLASS_NAMES
from training.data.synthetic.atlas import TextureAtlas
from training.data.synthetic.buildings import BuildingMaterials
from training.data.synthetic.facades import shop_facade, window_facade
from training.data.synthetic.meshes import Material
from training.data.synthetic.shader import Light
from training.data.synthetic.textures import PLAIN
from training.data.synthetic.vehicles import VehicleMaterials

FACADES = 7
LABEL = {name: index for index, name in enumerate(CLASS_NAMES)}


@dataclass(frozen=True)
class Density:
    """How much of everything stands along the street (shares of slots, or metres)."""

    building: float
    tree: float
    parked: float
    tree_spacing_m: float
    pedestrian_spacing_m: float
    setback_m: float
    floors: tuple[int, int]


def draw_density(rng: np.random.Generator) -> Density:
    """Draw the density of a world, from leafy suburb to town centre."""
    urban = rng.uniform()
    return Density(
        building=0.60 + 0.36 * urban,
        tree=rng.uniform(0.25, 0.95),
        parked=rng.uniform(0.2, 0.7),
        tree_spacing_m=rng.uniform(8.0, 16.0),
        pedestrian_spacing_m=rng.uniform(6.0, 18.0) - 3.0 * urban,
        setback_m=(1.0 - urban) * rng.uniform(2.0, 6.0),
        floors=(1 + int(urban > 0.5), 3 + int(3 * urban)),
    )


def vivid(rng: np.random.Generator, low: float = 0.25, high: float = 1.0) -> tuple[float, ...]:
    """Return a random colour factor (r, g, b)."""
    return colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.3, 0.85), rng.uniform(low, high))


def _tint(color: tuple[float, ...]) -> tuple[float, float, float]:
    return (float(color[0]), float(color[1]), float(color[2]))


class Surfaces:
    """Fills an atlas with the textures of a world and hands out materials.

    Args:
        rng: source of randomness; every call that draws a colour advances it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.atlas = TextureAtlas()
        for name, (make, repeat_m) in PLAIN.items():
            self.atlas.add(name, make(rng), (repeat_m, repeat_m))
        self._facades = [window_facade(rng) for _ in range(FACADES)]
        for i, facade in enumerate(self._facades):
            self.atlas.add(f'facade{i}', facade.image, facade.repeat_m)
        for i in range(2):
            shop = shop_facade(rng)
            self.atlas.add(f'shop{i}', shop.image, shop.repeat_m)
        self._leaf_hue = rng.uniform(0.17, 0.33)

    def plain(
        self, name: str, label: str, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ) -> Material:
        """Return a material of a named texture and class."""
        return self.atlas.material(name, LABEL[label], tint)

    def leaf(self) -> Material:
        """Return foliage of a hue near that of the world."""
        hue = self._leaf_hue + self._rng.normal(0.0, 0.03)
        if self._rng.uniform() < 0.08:
            hue = self._rng.uniform(0.02, 0.14)
        value = self._rng.uniform(0.7, 1.2)
        color = np.array(colorsys.hsv_to_rgb(hue, self._rng.uniform(0.22, 0.45), 1.0)) * value
        return self.plain('foliage', 'vegetation', _tint(tuple(color)))

    def building(self) -> BuildingMaterials:
        """Return the surfaces of a building."""
        rng, index = self._rng, int(self._rng.integers(0, FACADES))
        wash = _tint(tuple(rng.uniform(0.75, 1.12) * (1.0 + rng.uniform(-0.12, 0.12, 3))))
        front = self.plain(f'facade{index}', 'building', wash)
        shop = self.plain(f'shop{rng.integers(0, 2)}', 'building')
        return BuildingMaterials(
            front=front,
            ground_floor=shop if rng.uniform() < 0.35 else front,
            roof=self.plain('roof', 'building', _tint(tuple(rng.uniform(0.5, 1.2, 3)))),
            trim=self.plain(
                'plaster', 'building', _tint(tuple(rng.uniform(0.5, 1.1) * np.ones(3)))
            ),
            base=self.plain(
                'concrete', 'building', _tint(tuple(rng.uniform(0.5, 1.0) * np.ones(3)))
            ),
            bay_m=self._facades[index].bay_m,
            floor_m=self._facades[index].floor_m,
        )

    def vehicle(self) -> VehicleMaterials:
        """Return the surfaces of a vehicle, its colour as common on roads."""
        rng = self._rng
        grey = _tint((rng.choice([0.2, 0.35, 0.55, 0.9, 1.1]),) * 3)
        color = grey if rng.uniform() < 0.5 else _tint(vivid(rng, 0.35, 0.95))
        cargo = 'poster' if rng.uniform() < 0.4 else 'metal'
        return VehicleMaterials(
            paint=self.plain('metal', 'vehicle', color),
            glass=self.plain('glass', 'vehicle'),
            tyre=self.plain('concrete', 'vehicle', (0.16, 0.16, 0.17)),
            trim=self.plain('concrete', 'vehicle', (0.25, 0.25, 0.26)),
            lamp=self.plain('metal', 'vehicle', (1.05, 1.05, 1.0)),
            tail_lamp=self.plain('metal', 'vehicle', (0.85, 0.10, 0.08)),
            cargo=self.plain(cargo, 'vehicle', color if cargo == 'metal' else (1.0, 1.0, 1.0)),
        )

    def person(self) -> tuple[Material, Material, Material, Material]:
        """Return skin, hair, coat and trousers."""
        rng = self._rng
        tone = rng.uniform(0.35, 1.0)
        skin = (1.05 * tone, 0.82 * tone, 0.68 * tone)
        hair = _tint(tuple(rng.uniform(0.1, 0.6) * np.array([1.0, 0.8, 0.6])))
        colors = [skin, hair, _tint(vivid(rng)), _tint(vivid(rng, 0.15, 0.6))]
        skin_m, hair_m, coat, trousers = (self.plain('cloth', 'pedestrian', c) for c in colors)
        return skin_m, hair_m, coat, trousers

    def metal(self, label: str = 'pole', vivid_share: float = 0.0) -> Material:
        """Return painted metal, grey or sometimes coloured."""
        if self._rng.uniform() < vivid_share:
            return self.plain('metal', label, _tint(vivid(self._rng)))
        return self.plain('metal', label, _tint((self._rng.uniform(0.25, 0.8),) * 3))


def draw_light(rng: np.random.Generator, atlas: TextureAtlas, paint_from_uv: np.ndarray) -> Light:
    """Draw sun, sky and haze: from clear noon to overcast or low evening sun."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(22, 65))
    overcast, warm = rng.uniform(0.0, 0.75) ** 1.5, 1.0 - np.sin(elevation)
    sun = [
        np.cos(azimuth) * np.cos(elevation),
        np.sin(azimuth) * np.cos(elevation),
        np.sin(elevation),
    ]
    sun_color = (1.0 - 0.85 * overcast) * np.array([0.92, 0.86 - 0.10 * warm, 0.76 - 0.22 * warm])
    sky = np.array([0.60, 0.63, 0.68]) + 0.25 * overcast
    grey = np.array([205.0, 210.0, 216.0])
    horizon = (1 - overcast) * np.array([206.0, 216.0, 226.0]) + overcast * grey
    zenith = (1 - overcast) * np.array([92.0, 142.0, 212.0]) + overcast * grey * 0.85
    return Light(
        sun=np.array(sun, np.float32),
        sun_color=sun_color.astype(np.float32),
        sky_light=sky.astype(np.float32),
        ground_light=(0.62 * sky).astype(np.float32),
        horizon=horizon.astype(np.float32),
        zenith=zenith.astype(np.float32),
        cloud=np.array([238.0, 238.0, 240.0], np.float32),
        haze_m=float(rng.uniform(220, 600)),
        clouds=atlas['clouds'],
        paint=atlas['paint'],
        paint_from_uv=paint_from_uv.astype(np.float32),
    )
