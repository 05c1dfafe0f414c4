"""Procedural textures of the street: [H,W,3] float images in 0..255, periodic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.noise import cells, fractal

FloatArray = NDArray[np.float64]
Color = tuple[float, float, float]


def shaded(color: Color | FloatArray, *terms: NDArray[np.floating[Any]]) -> FloatArray:
    """Return a colour whose brightness varies by the sum of the terms (relative), [H,W,3]."""
    brightness = 1.0 + np.sum(terms, axis=0)
    return np.asarray(np.clip(np.asarray(color) * brightness[..., None], 0.0, 255.0))


def asphalt(rng: np.random.Generator) -> FloatArray:
    """Worn asphalt: patches, stains, cracks and grain, for 8 m."""
    shape = (512, 512)
    patches = 0.34 * (cells(rng, shape, 14) - 0.5) * (fractal(rng, shape, 1.4) > 0.1)
    grain = 0.10 * fractal(rng, shape, 0.3)
    blotches = 0.14 * fractal(rng, shape, 1.1)
    crack = -0.45 * (np.abs(fractal(rng, shape, 1.6)) < 0.025)
    return shaded((116.0, 115.0, 118.0), patches, grain, blotches, crack)


def paving(rng: np.random.Generator) -> FloatArray:
    """Sidewalk slabs of 0.5 m, each of its own brightness, for 4 m."""
    slab = 0.30 * (np.kron(rng.uniform(size=(8, 8)), np.ones((64, 64))) - 0.5)
    row, column = np.mgrid[:512, :512] % 64
    joint = -0.42 * ((row < 4) | (column < 4))
    dirt = 0.10 * fractal(rng, (512, 512), 1.2) + 0.07 * fractal(rng, (512, 512), 0.3)
    return shaded((168.0, 160.0, 148.0), slab, joint, dirt)


def grass(rng: np.random.Generator) -> FloatArray:
    """Lawn with dry and dark patches, for 6 m."""
    shape = (512, 512)
    dry = np.clip(0.5 + 0.35 * fractal(rng, shape, 1.2), 0.0, 1.0)[..., None]
    color = np.array([82.0, 112.0, 48.0]) * (1 - dry) + np.array([142.0, 134.0, 78.0]) * dry
    return shaded(color, 0.20 * fractal(rng, shape, 0.4), 0.16 * fractal(rng, shape, 1.0))


def foliage(rng: np.random.Generator) -> FloatArray:
    """Leaves in clumps, bright tips over dark gaps, for 2.5 m."""
    shape = (256, 256)
    clump = 0.34 * fractal(rng, shape, 1.0) + 0.30 * fractal(rng, shape, 0.5)
    gap = -0.45 * (fractal(rng, shape, 0.9) > 0.9)
    leaf = 0.25 * (cells(rng, shape, 160) - 0.5)
    return shaded((112.0, 122.0, 92.0), clump, gap, leaf)


def bark(rng: np.random.Generator) -> FloatArray:
    """Bark in vertical ridges, for 1.5 m."""
    ridges = fractal(rng, (256, 256), 0.8).T
    return shaded((120.0, 96.0, 74.0), 0.30 * ridges, 0.15 * fractal(rng, (256, 256), 0.4))


def plaster(rng: np.random.Generator) -> FloatArray:
    """Weathered render, for 6 m."""
    stain = 0.10 * fractal(rng, (256, 256), 1.2, stretch=3.0)
    return shaded((205.0, 200.0, 192.0), stain, 0.06 * fractal(rng, (256, 256), 0.3))


def brick(rng: np.random.Generator) -> FloatArray:
    """Bricks 0.25 m x 0.125 m in running bond, for 4 m."""
    rows, columns = 32, 16
    tone = 0.46 * (rng.uniform(size=(rows, columns)) - 0.5)
    wall = np.kron(tone, np.ones((16, 32)))
    row, column = np.mgrid[:512, :512]
    shift = (row // 16 % 2) * 16
    wall = np.take_along_axis(wall, (column + shift) % 512, axis=1)
    joint = (row % 16 < 3) | ((column + shift) % 32 < 3)
    image = shaded((176.0, 128.0, 110.0), wall, 0.08 * fractal(rng, (512, 512), 0.6))
    image[joint] = (188.0, 182.0, 172.0)
    return image


def roof(rng: np.random.Generator) -> FloatArray:
    """Tiles in rows, for 4 m."""
    tone = 0.36 * (np.kron(rng.uniform(size=(16, 16)), np.ones((16, 16))) - 0.5)
    row = np.mgrid[:256, :256][0]
    lip = -0.45 * (row % 16 < 3)
    return shaded((150.0, 92.0, 74.0), tone, lip, 0.10 * fractal(rng, (256, 256), 1.0))


def metal(rng: np.random.Generator) -> FloatArray:
    """Painted sheet metal: seams, dirt, blurred reflections of the street, for 2 m."""
    shape = (128, 128)
    seam = -0.40 * (np.mgrid[:128, :128][1] % 64 < 2)
    reflection = 0.16 * np.clip(fractal(rng, shape, 1.3, stretch=0.4), -1.5, 1.5)
    dirt = 0.11 * fractal(rng, shape, 0.8)
    return shaded((205.0, 205.0, 205.0), seam, reflection, dirt)


def concrete(rng: np.random.Generator) -> FloatArray:
    """Stained concrete, for 4 m."""
    shape = (256, 256)
    return shaded(
        (160.0, 158.0, 152.0), 0.14 * fractal(rng, shape, 1.1), 0.08 * fractal(rng, shape, 0.3)
    )


def glass(rng: np.random.Generator) -> FloatArray:
    """Dark glass with a soft pattern of reflections, for 2 m."""
    gleam = 0.50 * np.clip(fractal(rng, (64, 64), 1.0, stretch=0.5), -1.2, 1.8)
    return shaded((84.0, 98.0, 112.0), gleam)


def cloth(rng: np.random.Generator) -> FloatArray:
    """Cloth with folds and patches, for 0.9 m."""
    folds = 0.20 * fractal(rng, (64, 64), 1.0).T
    patch = 0.55 * (np.kron(rng.uniform(size=(4, 4)), np.ones((16, 16))) - 0.5)
    return shaded((190.0, 190.0, 190.0), folds, patch)


def poster(rng: np.random.Generator) -> FloatArray:
    """Advertisement: overlapping coloured rectangles, for 3 m."""
    image = np.full((128, 128, 3), rng.uniform(60, 220, 3))
    for _ in range(22):
        top, left = rng.integers(0, 118, 2)
        height, width = rng.integers(5, 60, 2)
        image[top : top + height, left : left + width] = rng.uniform(10, 250, 3)
    return image


def wood(rng: np.random.Generator) -> FloatArray:
    """Vertical planks, for 2 m."""
    plank = 0.40 * (np.kron(rng.uniform(size=(1, 16)), np.ones((256, 16))) - 0.5)
    joint = -0.5 * (np.mgrid[:256, :256][1] % 16 < 2)
    return shaded((150.0, 118.0, 84.0), plank, joint, 0.12 * fractal(rng, (256, 256), 0.8).T)


def clouds(rng: np.random.Generator) -> FloatArray:
    """Share of cloud over the sky dome in 0..255, grey."""
    cover = np.clip(0.35 + 0.45 * fractal(rng, (256, 256), 1.7), 0.0, 1.0) * 255.0
    return np.repeat(cover[..., None], 3, axis=2)


PLAIN: dict[str, tuple[Callable[[np.random.Generator], FloatArray], float]] = {
    'asphalt': (asphalt, 8.0),
    'paving': (paving, 4.0),
    'grass': (grass, 6.0),
    'foliage': (foliage, 2.5),
    'bark': (bark, 1.5),
    'plaster': (plaster, 6.0),
    'brick': (brick, 4.0),
    'roof': (roof, 4.0),
    'metal': (metal, 2.0),
    'concrete': (concrete, 4.0),
    'glass': (glass, 2.0),
    'cloth': (cloth, 0.9),
    'poster': (poster, 3.0),
    'wood': (wood, 2.0),
    'clouds': (clouds, 1.0),
}
