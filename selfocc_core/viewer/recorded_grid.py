"""The voxel grid behind recorded clouds, which hold centres of occupied voxels only."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.voxels import VoxelGrid

_FARTHEST_M = 500.0
_HEIGHTS_M = (-2.0, 4.0)
_ROUNDING_M = 1e-3  # clouds hold float32

Floats = NDArray[np.float64]

_NO_POINTS = np.empty((0, 3))


def recorded_grid(clouds: Iterable[Floats]) -> VoxelGrid:
    """Return a grid that holds all voxel centres ``[P, 3]`` of the clouds, in their lattice.

    It reaches equally far ahead and behind, left and right, so that the vehicle is in the middle,
    and at least from 2 m below the ground to 4 m above it, so that the road keeps its colour.

    Raises:
        SelfOccError: There are not even two voxels apart, or the lattice is too fine.
    """
    finite = [cloud[(np.abs(cloud) < _FARTHEST_M).all(1)] for cloud in clouds]
    axes = [_distinct(coordinates) for coordinates in np.concatenate([*finite, _NO_POINTS]).T]
    spacings_m = [float(np.diff(distinct).min()) for distinct in axes if len(distinct) > 1]
    if not spacings_m:
        raise SelfOccError(
            'the recording has too few occupied voxels to tell how large they are: '
            'record the node while it sees the road'
        )
    x, y, z = (_lattice(distinct, min(spacings_m)) for distinct in axes)
    (x_low, x_high, nx), (y_low, y_high, ny) = _centred(x), _centred(y)
    z_low, z_high, nz = _extended(z, *_HEIGHTS_M)
    return VoxelGrid((x_low, y_low, z_low), (x_high, y_high, z_high), (nx, ny, nz))


def _distinct(coordinates: Floats) -> Floats:
    return np.asarray(np.unique(np.round(coordinates / _ROUNDING_M)) * _ROUNDING_M, np.float64)


def _lattice(distinct: Floats, flat_m: float) -> tuple[float, float, int]:
    """Return the low edge, the high edge and the number of voxels along an axis.

    A single layer is ``flat_m`` thick.
    """
    low, high = float(distinct[0]), float(distinct[-1])
    if len(distinct) == 1:
        return low - flat_m / 2, low + flat_m / 2, 1
    count = round((high - low) / float(np.diff(distinct).min())) + 1
    half = 0.5 * (high - low) / (count - 1)
    return low - half, high + half, count


def _centred(lattice: tuple[float, float, int]) -> tuple[float, float, int]:
    reach_m = max(-lattice[0], lattice[1])
    return _extended(lattice, -reach_m, reach_m)


def _extended(
    lattice: tuple[float, float, int], low_m: float, high_m: float
) -> tuple[float, float, int]:
    """Extend a lattice by whole voxels until it reaches from ``low_m`` to ``high_m``, about."""
    low, high, count = lattice
    edge = (high - low) / count
    below, above = max(0, round((low - low_m) / edge)), max(0, round((high_m - high) / edge))
    return low - below * edge, high + above * edge, count + below + above
