"""The voxels of Occ3D-nuScenes: ``gts/<scene>/<token of the sample>/labels.npz``.

They are in the ego frame of nuScenes at the time of the LiDAR. ``mask_camera`` becomes
``visible``; ``mask_lidar`` stays in the dataset, as nothing here is scored by it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from selfocc_core.datasets.tree_files import read_npz_array
from selfocc_core.datasets.voxel_truth import VoxelTruth
from selfocc_core.errors import SelfOccError
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.voxels import VoxelGrid

GRID = VoxelGrid((-40.0, -40.0, -1.0), (40.0, 40.0, 5.4), (200, 200, 16))

# The classes of Occ3D in order, those of nuScenes-lidarseg.
_CLASSES = {
    'others': 'other',
    'barrier': 'other',
    'bicycle': 'vehicle',
    'bus': 'vehicle',
    'car': 'vehicle',
    'construction_vehicle': 'vehicle',
    'motorcycle': 'vehicle',
    'pedestrian': 'pedestrian',
    'traffic_cone': 'other',
    'trailer': 'vehicle',
    'truck': 'vehicle',
    'driveable_surface': 'road',
    'other_flat': 'terrain',
    'sidewalk': 'sidewalk',
    'terrain': 'terrain',
    'manmade': 'building',
    'vegetation': 'vegetation',
    'free': 'free',
}
_FREE = len(_CLASSES) - 1
_CLASS_OF_NUMBER = np.array([CLASS_NAMES.index(name) for name in _CLASSES.values()], np.uint8)


def read_occ3d(path: Path) -> VoxelTruth:
    """Read the voxels of a sample.

    Raises:
        SelfOccError: The file is missing or damaged, or its arrays are not those of Occ3D.
    """
    numbers, seen = (
        read_npz_array(path, name, 'occupancy labels') for name in ('semantics', 'mask_camera')
    )
    for array in (numbers, seen):
        if array.shape != GRID.shape or array.dtype != np.uint8:
            raise SelfOccError(
                f'occupancy labels {path} are {array.dtype} of shape {array.shape}, not uint8 of '
                f'shape {GRID.shape}: unpack Occ3D again'
            )
    if numbers.max() > _FREE:
        raise SelfOccError(
            f'occupancy labels {path} have the class {numbers.max()}, Occ3D has {_FREE + 1}'
        )
    return VoxelTruth(GRID, numbers != _FREE, _CLASS_OF_NUMBER[numbers], seen > 0)
