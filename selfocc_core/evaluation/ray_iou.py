"""RayIoU: does a ray meet something where it should?

Liu et al. 2024 (SparseOcc, arXiv 2312.17118), section 4, as in their released evaluation: rays as
of a LiDAR are cast from several places along the drive through the true and the predicted voxels.
Each ends where it leaves the first occupied voxel. A ray is a true positive of a class if it meets
that class on both sides, at distances that differ by less than a threshold. Rays that meet nothing
in the truth are left out, and so are what is invented on them. Of each class and threshold
``IoU = TP / (true hits + predicted hits - TP)``; RayIoU is the mean over the classes that are met,
then over 1, 2 and 4 m.

What a benchmark without classes can do beside this: occupied is the only class, and only rays
count that end in a voxel which a camera sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfocc_core.evaluation.accumulation import Accumulator, Frame, Numbers, Summary, mean, ratio
from selfocc_core.evaluation.occupancy import OccupancyTruth, Voxels
from selfocc_core.evaluation.ray_casting import far_sides, first_hits
from selfocc_core.evaluation.semantic_iou import Labels, SemanticClasses
from selfocc_core.transforms import Transform, invert
from selfocc_core.voxels import VoxelGrid

THRESHOLDS_M = (1.0, 2.0, 4.0)

_HIGHEST_RAD = 0.21
_AZIMUTHS = 360
_ORIGINS = 8
_BORDER_M = 1.0
_OCCUPIED = SemanticClasses(('occupied',))

Floats = NDArray[np.float64]


def ray_directions() -> Floats:
    """Return the unit directions ``[R, 3]`` of the rays, in the ego frame.

    The lower ten turns meet level ground at 1 to 10 times the sensor's height, so that near and
    far weigh alike; above them turns follow in steps of the last angle up to 0.21 rad. One ray
    per degree of azimuth.
    """
    elevations = [-math.atan(1 / k) for k in range(1, 11)]
    step = elevations[-1] - elevations[-2]
    while elevations[-1] < _HIGHEST_RAD:
        elevations.append(elevations[-1] + step)
    azimuths = np.arange(_AZIMUTHS) * (2 * np.pi / _AZIMUTHS)
    up, around = np.meshgrid(elevations, azimuths, indexing='ij')
    rays = [np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)]
    return np.stack(rays, -1).reshape(-1, 3)


def ray_origins(
    world_from_ego: Floats, world_from_egos: Floats, ego_from_lidar: Transform, grid: VoxelGrid
) -> Floats:
    """Return where the rays of a moment start ``[T, 3]``, in its ego frame.

    Args:
        world_from_ego: Pose ``[4, 4]`` of the moment.
        world_from_egos: Poses ``[M, 4, 4]`` of all moments of the drive, this one among them.
        ego_from_lidar: Where the LiDAR is on the vehicle.
        grid: Grid of the voxels; positions less than a metre inside its sides are left out.

    Returns:
        Positions of the LiDAR, at most eight that are spread evenly over those within.
    """
    places = (invert(world_from_ego) @ world_from_egos @ ego_from_lidar)[:, :3, 3]
    low, high = (np.asarray(corner[:2]) for corner in (grid.minimum_m, grid.maximum_m))
    within = (places[:, :2] > low + _BORDER_M) & (places[:, :2] < high - _BORDER_M)
    places = places[within.all(1)]
    if len(places) > _ORIGINS:
        places = places[np.round(np.linspace(0, len(places) - 1, _ORIGINS)).astype(np.int64)]
    return np.asarray(places, np.float64)


@dataclass(frozen=True, eq=False)
class TrueHits:
    """The rays of a moment that count.

    Attributes:
        grid: Grid of the truth.
        origins: Where the rays start ``[R, 3]``, in the ego frame.
        directions: Unit directions ``[R, 3]``.
        distance_m: Distance at which they leave the voxel of their true first hits ``[R]``.
        label: True class of that voxel ``[R]``.
    """

    grid: VoxelGrid
    origins: Floats
    directions: Floats
    distance_m: Floats
    label: NDArray[np.int64]

    @classmethod
    def of(cls, truth: OccupancyTruth, grid: VoxelGrid, origins: Floats) -> TrueHits:
        """Cast rays from ``origins`` ``[3]`` or ``[T, 3]`` without regard to classes.

        Rays are kept that end in a visible voxel.
        """
        return cls.of_labels(
            np.zeros(grid.shape, np.uint8), truth.occupied, grid, origins, truth.visible
        )

    @classmethod
    def of_labels(
        cls,
        labels: Labels,
        occupied: Voxels,
        grid: VoxelGrid,
        origins: Floats,
        mask: Voxels | None = None,
    ) -> TrueHits:
        """Cast rays through the truth.

        Args:
            labels: True class ``[X, Y, Z]``, read where occupied.
            occupied: What is occupied.
            grid: Their grid.
            origins: Where the rays start ``[3]`` or ``[T, 3]``.
            mask: Voxels in which the rays must end that count; all by default, as published.
        """
        places = np.asarray(origins, np.float64).reshape(-1, 3)
        starts = np.repeat(places, len(ray_directions()), axis=0)
        directions = np.tile(ray_directions(), (len(places), 1))
        distance_m, label, voxel = _met(labels, occupied, grid, starts, directions)
        kept = label >= 0
        if mask is not None:
            kept[kept] = mask[tuple(voxel[kept].T)]
        return cls(grid, starts[kept], directions[kept], distance_m[kept], label[kept])


def _met(
    labels: Labels, occupied: Voxels, grid: VoxelGrid, origins: Floats, directions: Floats
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Return distance, class (-1: nothing) and voxel ``[R, 3]`` of what rays meet ``[R]``."""
    _, voxel = first_hits(occupied, grid, origins, directions)
    found = voxel[:, 0] >= 0
    label, distance_m = np.full(len(voxel), -1, np.int64), np.full(len(voxel), np.inf)
    label[found] = labels[tuple(voxel[found].T)]
    distance_m[found] = far_sides(voxel[found], grid, origins[found], directions[found])
    return distance_m, label, voxel


class RayIou(Accumulator):
    """Accumulates the rays of many moments.

    Args:
        classes: Classes of the labels; without them, everything that is occupied is one class.
    """

    def __init__(self, classes: SemanticClasses | None = None) -> None:
        super().__init__()
        self._classes = classes

    @property
    def settings(self) -> object:
        """The classes."""
        return self._classes

    def add(
        self,
        predicted: Voxels,
        true: TrueHits,
        labels: Labels | None = None,
        frame: Frame | None = None,
    ) -> None:
        """Take a moment.

        Args:
            predicted: Voxels that are predicted to be occupied ``[X, Y, Z]``.
            true: The true hits.
            labels: Predicted class ``[X, Y, Z]``, read where occupied; needed with classes.
            frame: Drive and stamp of the moment.
        """
        if labels is None:
            labels = np.zeros(predicted.shape, np.uint8)
        distance_m, label, _ = _met(labels, predicted, true.grid, true.origins, true.directions)
        size = len((self._classes or _OCCUPIED).names)
        same = label == true.label
        apart_m = np.where(same, np.abs(distance_m - true.distance_m), np.inf)
        counted = [true.label, label[label >= 0]]
        counted += [label[apart_m < threshold_m] for threshold_m in THRESHOLDS_M]
        counts = [np.bincount(of_class, minlength=size) for of_class in counted]
        self.statistics.add(self._frame(frame), 'rays', counts)

    def summary_of(self, totals: Mapping[str, Numbers]) -> Summary:
        """Return ``ray_iou`` and its part at each threshold; ``None`` if no ray counts.

        With classes also ``per_class`` and the mean in each convention of ``SemanticClasses``.
        """
        classes = self._classes or _OCCUPIED
        empty = np.zeros((2 + len(THRESHOLDS_M), len(classes.names)))
        true, predicted, *agreeing = totals.get('rays', empty)
        ious = {
            f'ray_iou_{threshold_m:g}m': [
                ratio(hit, whole) for hit, whole in zip(hits, true + predicted - hits, strict=True)
            ]
            for threshold_m, hits in zip(THRESHOLDS_M, agreeing, strict=True)
        }
        parts = {name: mean(of_classes) for name, of_classes in ious.items()}
        summary: Summary = {'ray_iou': mean(list(parts.values())), **parts}
        if self._classes is None:
            return summary
        per_class = {
            name: mean([of_classes[index] for of_classes in ious.values()])
            for index, name in enumerate(classes.names)
        }
        conventions = {
            convention: mean([per_class[name] for name in names])
            for convention, names in classes.counted.items()
        }
        return {**summary, 'conventions': conventions, 'per_class': per_class}
