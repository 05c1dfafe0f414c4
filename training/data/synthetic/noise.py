"""Tileable random fields: the raw material of every procedural texture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]


def fractal(
    rng: np.random.Generator, shape: tuple[int, int], slope: float = 1.0, stretch: float = 1.0
) -> FloatArray:
    """Return a periodic Gaussian field whose amplitude falls as frequency^-slope.

    Args:
        rng: source of randomness.
        shape: rows and columns.
        slope: 0 is white noise, 2 is smooth.
        stretch: above 1 the pattern is drawn out along the columns.

    Returns:
        Field of zero mean and unit standard deviation, `shape`.
    """
    rows = np.fft.fftfreq(shape[0])[:, None] * shape[0]
    columns = np.fft.rfftfreq(shape[1])[None] * shape[1] * stretch
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=shape)) * frequency**-slope
    field = np.fft.irfft2(spectrum, s=shape)
    return np.asarray((field - field.mean()) / field.std())


def cells(rng: np.random.Generator, shape: tuple[int, int], count: int) -> FloatArray:
    """Return a periodic Voronoi pattern: a random value in [0,1) for each of `count` cells."""
    seeds = rng.uniform(size=(count, 2)) * shape
    value = rng.uniform(size=count)
    tree = cKDTree(seeds, boxsize=np.array(shape, np.float64))
    pixels = np.indices(shape).transpose(1, 2, 0)
    return np.asarray(value[tree.query(pixels)[1]], np.float64)
