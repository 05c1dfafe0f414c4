"""Poses of KITTI's navigation unit: ``oxts/timestamps.txt`` and ``oxts/data/0000000000.txt``.

The samples of a synchronised drive are the nearest of 100 Hz, up to 14 ms off the camera: they
hold at their own stamps, and whoever needs a pose at another time has to interpolate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from selfocc_core.datasets.kitti import numbered_files, read_dates_ns
from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_text
from selfocc_core.transforms import Trajectory

_EARTH_RADIUS_M = 6_378_137.0


def read_oxts(folder: Path) -> Trajectory | None:
    """Return ``world_from_imu`` at the stamps of the samples; ``None`` if there is no sample.

    The world begins at the first sample, its x is east, y north, z up; the unit's x is ahead,
    y left, z up.

    Raises:
        SelfOccError: A file is malformed, or the stamps are missing.
    """
    stamps_ns = read_dates_ns(folder / 'timestamps.txt')
    files = numbered_files(len(stamps_ns), (folder / 'data', '.txt'))
    if not files:
        return None
    samples = np.stack([_read_sample(path) for path in files.values()])
    return Trajectory(stamps_ns[list(files)], _mercator_poses(samples))


def _read_sample(path: Path) -> NDArray[np.float64]:
    """Return latitude and longitude in degrees, altitude, roll, pitch and yaw of a sample."""
    try:
        values = np.array(read_text(path, 'pose').split()[:6], np.float64)
    except ValueError:
        values = np.empty(0)
    if len(values) != 6 or not np.isfinite(values).all() or abs(values[0]) > 85:
        raise SelfOccError(f'pose {path} is malformed: unpack the drive again')
    return values


def _mercator_poses(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``world_from_imu`` ``[T, 4, 4]``.

    The position is a Mercator projection with the scale of the first latitude, as in KITTI's
    development kit.
    """
    latitude, longitude = np.radians(samples[:, 0]), np.radians(samples[:, 1])
    radius_m = np.cos(latitude[0]) * _EARTH_RADIUS_M
    north_m = radius_m * np.log(np.tan(np.pi / 4 + latitude / 2))
    positions = np.stack([radius_m * longitude, north_m, samples[:, 2]], -1)
    poses = np.tile(np.eye(4), (len(samples), 1, 1))
    poses[:, :3, :3] = Rotation.from_euler('ZYX', samples[:, 5:2:-1]).as_matrix()
    poses[:, :3, 3] = positions - positions[0]
    return poses
