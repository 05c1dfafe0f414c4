"""What is scored: occupied voxels and depth, from a model or from a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from selfocc_core.backends import Backend
from selfocc_core.cameras import Camera, Rig
from selfocc_core.depth import DepthImage
from selfocc_core.evaluation.depth import closed_by_volume, project, sample_bilinear
from selfocc_core.evaluation.occupancy import Voxels
from selfocc_core.frames import FrameSet
from selfocc_core.pipeline import OccupancyPipeline
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.transforms import Trajectory
from selfocc_core.voxels import VoxelGrid, VoxelState
from training.benchmark.views import lattice_rays

Number = TypeVar('Number', np.uint8, np.float32)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What someone says of one moment.

    Attributes:
        occupied: Occupied voxels ``[X, Y, Z]`` of the benchmark's grid.
        depth_m: Depth ``[h, w]`` at the compared pixels of each camera.
        covered: At which of these pixels ``[h, w]`` the prediction has a depth of its own.
        labels: Class of the occupied voxels ``[X, Y, Z]`` uint8, an index into ``CLASS_NAMES``;
            ``None`` of what knows no classes of the generated world.
    """

    occupied: Voxels
    depth_m: Mapping[str, NDArray[np.float64]]
    covered: Mapping[str, NDArray[np.bool_]]
    labels: NDArray[np.uint8] | None = None


class ModelPredictor:
    """A model on the rig of one drive.

    Args:
        backend: The runtime with the model.
        rig: The drive's cameras.
        trajectory: The vehicle's motion, for the cameras' different stamps.
        grid: Grid of the benchmark.

    Raises:
        SelfOccError: The rig does not fit the model.
    """

    def __init__(
        self, backend: Backend, rig: Rig, trajectory: Trajectory | None, grid: VoxelGrid
    ) -> None:
        self._pipeline = OccupancyPipeline(backend, rig)
        self._trajectory, self._grid = trajectory, grid

    def predict(self, frame_set: FrameSet) -> Prediction:
        """Run the model on a frame set."""
        result = self._pipeline.process(frame_set, self._trajectory)
        states = resampled(result.states, result.grid, self._grid)
        depth_m, covered = {}, {}
        for name, image in result.depths.items():
            camera = self._pipeline.rig[name]
            depth_m[name], covered[name] = depth_on_lattice(image, camera, self._grid)
        labels = world_labels(result.labels, result.class_names)
        if labels is not None:
            labels = resampled(labels, result.grid, self._grid, outside=0)
        return Prediction(states == VoxelState.OCCUPIED, depth_m, covered, labels)


def world_labels(
    labels: NDArray[np.uint8] | None, class_names: Sequence[str]
) -> NDArray[np.uint8] | None:
    """Return labels of named classes as indices into ``CLASS_NAMES``.

    ``None`` without labels, or if a class is none of the generated world.
    """
    if labels is None or not set(class_names) <= set(CLASS_NAMES):
        return None
    return np.array([CLASS_NAMES.index(name) for name in class_names], np.uint8)[labels]


def resampled(
    values: NDArray[Number],
    source: VoxelGrid,
    target: VoxelGrid,
    outside: float = VoxelState.UNKNOWN,
) -> NDArray[Number]:
    """Return values of voxels, such as states, at the voxel centres of another grid.

    Args:
        values: Of the source ``[X, Y, Z]``.
        source: Their grid.
        target: The other grid.
        outside: What stands where the target is outside of the source; unknown by default.
    """
    if source == target:
        return values
    ijk, inside = source.indices(target.centers())
    found = values[tuple(np.moveaxis(ijk, -1, 0))]
    filled: NDArray[Number] = np.where(inside, found, values.dtype.type(outside))
    return filled


def depth_on_lattice(
    image: DepthImage, camera: Camera, grid: VoxelGrid
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a depth image at the compared pixels ``[h, w]``, and which of them it covers.

    +Inf counts as the exit from the volume, as in `selfocc_core.evaluation.depth`.
    """
    closed_m = closed_by_volume(
        image.depth_m, image.image_from_camera, camera.ego_from_camera, grid
    )
    rays = lattice_rays(camera)
    pixels = project(rays.reshape(-1, 3), image.image_from_camera)
    height, width = closed_m.shape
    covered = (pixels >= -0.5).all(1) & (pixels <= (width - 0.5, height - 0.5)).all(1)
    depth_m = sample_bilinear(closed_m, pixels)
    return depth_m.reshape(rays.shape[:2]), covered.reshape(rays.shape[:2])
