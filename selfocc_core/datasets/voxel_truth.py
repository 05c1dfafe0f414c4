"""True voxels around the vehicle, as `/ground_truth/voxels` holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.transforms import Transform, invert, transform_points
from selfocc_core.voxels import VoxelGrid, VoxelState


@dataclass(frozen=True, eq=False)
class VoxelTruth:
    """What is around the vehicle at one moment.

    Attributes:
        grid: The voxels, in the ego frame.
        occupied: Voxels with something in them ``[X, Y, Z]``.
        label: Class of each occupied voxel ``[X, Y, Z]`` uint8, an index into ``CLASS_NAMES``.
        visible: Voxels that are scored ``[X, Y, Z]``.
    """

    grid: VoxelGrid
    occupied: NDArray[np.bool_]
    label: NDArray[np.uint8]
    visible: NDArray[np.bool_]

    def fields(self) -> dict[str, NDArray[Any]]:
        """Return every occupied and every visible free voxel as fields of a point cloud."""
        kept = self.occupied | self.visible
        x, y, z = self.grid.centers()[kept].astype(np.float32).T
        state = np.where(self.occupied[kept], VoxelState.OCCUPIED, VoxelState.FREE)
        label = np.where(self.occupied[kept], self.label[kept], 0)
        return {
            'x': x,
            'y': y,
            'z': z,
            'state': state.astype(np.uint8),
            'label': label.astype(np.uint8),
            'visible': self.visible[kept].astype(np.uint8),
        }

    def moved(self, target_from_source: Transform) -> VoxelTruth:
        """Return the truth on the same grid in another frame, where the vehicle has moved to.

        Each voxel takes what lies at its centre; what enters the grid is not visible.
        """
        source_from_target = invert(target_from_source)
        ijk, inside = self.grid.indices(transform_points(source_from_target, self.grid.centers()))
        at = tuple(np.moveaxis(ijk, -1, 0))
        return VoxelTruth(
            self.grid,
            np.asarray(self.occupied[at] & inside, bool),
            np.asarray(self.label[at], np.uint8),
            np.asarray(self.visible[at] & inside, bool),
        )
