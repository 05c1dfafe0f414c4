"""Occupancy against a true voxel grid: IoU, precision, recall.

Only voxels that a camera can see are scored, as in Occ3D (``mask_camera``). Counts are accumulated
over all moments before the ratios are taken, so that every voxel weighs the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from typing_extensions import Self

from selfocc_core.bag_messages import xyz
from selfocc_core.errors import SelfOccError
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.voxels import VoxelGrid, VoxelState

Voxels = NDArray[np.bool_]

GROUND_CLASSES = ('road', 'sidewalk', 'terrain')
RINGS_M = ((0.0, 10.0), (10.0, 20.0), (20.0, float('inf')))
HEIGHTS_M = ((0.0, 0.8), (0.8, 1.6), (1.6, 2.4), (2.4, float('inf')))

_TRUTH_FIELDS = ('x', 'y', 'z', 'state', 'label', 'visible')


@dataclass(frozen=True, eq=False)
class OccupancyTruth:
    """What really is around the vehicle, on the grid of the prediction.

    Attributes:
        occupied: Voxels with something in them ``[X, Y, Z]``.
        visible: Voxels that a camera sees ``[X, Y, Z]``; only these are scored.
        ground: Occupied voxels of road, sidewalk or terrain ``[X, Y, Z]``.
        labels: Class of each occupied voxel ``[X, Y, Z]`` uint8, an index into ``CLASS_NAMES``; 0
            elsewhere. ``None`` where it is not known.
    """

    occupied: Voxels
    visible: Voxels
    ground: Voxels
    labels: NDArray[np.uint8] | None = None

    @classmethod
    def from_points(cls, fields: Mapping[str, NDArray[Any]], grid: VoxelGrid) -> Self:
        """Build the truth from a decoded ``/ground_truth/voxels`` cloud.

        Points outside the grid are left out; where several fall into one voxel (a finer truth),
        an occupied one wins.

        Raises:
            SelfOccError: A field of the cloud is missing.
        """
        missing = [name for name in _TRUTH_FIELDS if name not in fields]
        if missing:
            raise SelfOccError(
                f'the cloud on /ground_truth/voxels has no field {missing[0]}: record the drive '
                'with "selfocc synth" of this version'
            )
        ijk, inside = grid.indices(xyz(fields))
        occupied = inside & (fields['state'] == VoxelState.OCCUPIED)
        ground = occupied & np.isin(
            fields['label'], [CLASS_NAMES.index(name) for name in GROUND_CLASSES]
        )
        visible = inside & (fields['visible'] > 0)
        labels = np.zeros(grid.shape, np.uint8)
        labels[tuple(ijk[occupied].T)] = fields['label'][occupied]
        filled = [_filled(grid, ijk[chosen]) for chosen in (occupied, visible, ground)]
        return cls(filled[0], filled[1], filled[2], labels)

    @property
    def obstacles(self) -> Voxels:
        """Occupied voxels that are not ground ``[X, Y, Z]``."""
        return np.asarray(self.occupied & ~self.ground, bool)

    @property
    def obstacle_domain(self) -> Voxels:
        """Voxels ``[X, Y, Z]`` in which obstacles are scored.

        A prediction has no labels, so its ground cannot be told from its obstacles by itself.
        Therefore the true ground and the voxel above and below it are taken out, except where an
        obstacle really stands: whatever is predicted in the rest claims an obstacle.
        """
        near_ground = self.ground.copy()
        near_ground[:, :, 1:] |= self.ground[:, :, :-1]
        near_ground[:, :, :-1] |= self.ground[:, :, 1:]
        return np.asarray(self.visible & ~(near_ground & ~self.obstacles), bool)


def _filled(grid: VoxelGrid, ijk: NDArray[np.int64]) -> Voxels:
    voxels = np.zeros(grid.shape, bool)
    voxels[tuple(ijk.T)] = True
    return voxels


def height_above_ground(ground: Voxels, grid: VoxelGrid) -> NDArray[np.float64]:
    """Return how high the centre of each voxel is above the ground ``[X, Y, Z]`` in metres.

    The ground ends with its highest voxel in a column; a column without ground has that of the
    nearest one, and a grid without any that of the vehicle, z = 0.
    """
    z = grid.axis_centers(2)
    if not ground.any():
        return np.array(np.broadcast_to(z, grid.shape), np.float64)
    top = grid.shape[2] - 1 - ground[:, :, ::-1].argmax(2)
    has_ground = np.asarray(ground.any(2), bool)
    _, nearest = distance_transform_edt(~has_ground, return_indices=True)
    ground_m = z[top[tuple(nearest)]] + 0.5 * grid.voxel_size_m[2]
    return np.asarray(z - ground_m[..., None], np.float64)


def occupied_voxels(points: NDArray[np.float64], grid: VoxelGrid) -> Voxels:
    """Return the voxels ``[X, Y, Z]`` in which points ``[P, 3]`` of the ego frame lie."""
    ijk, inside = grid.indices(points)
    return _filled(grid, ijk[inside])


def flat_ground_occupancy(grid: VoxelGrid) -> Voxels:
    """Return the baseline that sees nothing: every voxel centre below z = 0 is occupied."""
    below = grid.axis_centers(2) < 0
    return np.array(np.broadcast_to(below, grid.shape), bool)


@dataclass(frozen=True)
class Confusion:
    """Counts of voxels.

    Attributes:
        true_positive: Predicted and true.
        false_positive: Predicted but not true.
        false_negative: True but not predicted.
    """

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0

    @classmethod
    def of(cls, predicted: Voxels, true: Voxels, domain: Voxels) -> Self:
        """Count within a domain; all arguments ``[X, Y, Z]``."""
        hit, claimed, real = predicted & true, predicted & domain, true & domain
        true_positive = int(np.count_nonzero(hit & domain))
        return cls(
            true_positive,
            int(np.count_nonzero(claimed)) - true_positive,
            int(np.count_nonzero(real)) - true_positive,
        )

    def __add__(self, other: Confusion) -> Confusion:
        """Accumulate."""
        return Confusion(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    def ratios(self) -> dict[str, float | None]:
        """Return ``iou``, ``precision``, ``recall``; ``None`` where nothing can be scored."""
        tp, fp, fn = self.true_positive, self.false_positive, self.false_negative
        return {
            'iou': _ratio(tp, tp + fp + fn),
            'precision': _ratio(tp, tp + fp),
            'recall': _ratio(tp, tp + fn),
        }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


class OccupancyScores:
    """Accumulates the occupancy scores of many moments.

    Args:
        grid: Grid of the predictions; rings are measured horizontally from the ego origin.
        rings_m: Inner and outer radius of each ring; they may overlap.
        heights_m: Low and high end of each band of height above the true ground.
    """

    def __init__(
        self,
        grid: VoxelGrid,
        rings_m: Sequence[tuple[float, float]] = RINGS_M,
        heights_m: Sequence[tuple[float, float]] = HEIGHTS_M,
    ) -> None:
        self._grid = grid
        self._bands = {_ring_name(low, high): (low, high) for low, high in heights_m}
        self._by_height = {name: Confusion() for name in self._bands}
        centers = grid.centers()
        distance_m = np.hypot(centers[..., 0], centers[..., 1])
        self._rings = {
            _ring_name(low, high): (distance_m >= low) & (distance_m < high)
            for low, high in rings_m
        }
        self._all = {name: Confusion() for name in ('', *self._rings)}
        self._obstacles = dict(self._all)
        self.moments = 0

    def add(self, predicted: Voxels, truth: OccupancyTruth) -> None:
        """Take the predicted occupied voxels ``[X, Y, Z]`` of a moment and the truth."""
        self.moments += 1
        obstacle_domain = truth.obstacle_domain
        everywhere = np.ones(predicted.shape, bool)
        for name, ring in {'': everywhere, **self._rings}.items():
            self._all[name] += Confusion.of(predicted, truth.occupied, truth.visible & ring)
            self._obstacles[name] += Confusion.of(
                predicted, truth.obstacles, obstacle_domain & ring
            )
        height_m = height_above_ground(truth.ground, self._grid)
        for name, (low_m, high_m) in self._bands.items():
            band = (height_m >= low_m) & (height_m < high_m)
            self._by_height[name] += Confusion.of(
                predicted, truth.obstacles, obstacle_domain & band
            )

    def summary(self) -> dict[str, Any]:
        """Return ``iou``, ``precision``, ``recall``, the same for obstacles, by range and height.

        By height there are obstacles alone.
        """
        return {
            'moments': self.moments,
            **self._all[''].ratios(),
            'obstacles': self._obstacles[''].ratios(),
            'by_range': {
                name: {**self._all[name].ratios(), 'obstacles': self._obstacles[name].ratios()}
                for name in self._rings
            },
            'by_height': {
                name: {'obstacles': confusion.ratios()}
                for name, confusion in self._by_height.items()
            },
        }


def _ring_name(low_m: float, high_m: float) -> str:
    return f'{low_m:g}-{high_m:g} m' if np.isfinite(high_m) else f'{low_m:g}+ m'
