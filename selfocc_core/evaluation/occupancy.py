"""Occupancy against a true voxel grid: IoU, precision, recall.

Only voxels that a camera can see are scored, as in Occ3D (Tian et al. 2023, arXiv 2304.14365,
section 3.2; ``mask_camera``). Counts are accumulated over all moments before the ratios are taken,
so that every voxel weighs the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from typing_extensions import Self

from selfocc_core.bag_messages import xyz
from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.accumulation import Accumulator, Frame, Numbers, Summary, ratio
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.voxels import VoxelGrid, VoxelState

Voxels = NDArray[np.bool_]

GROUND_CLASSES = ('road', 'sidewalk', 'terrain')
RINGS_M = ((0.0, 10.0), (10.0, 20.0), (20.0, float('inf')))
HEIGHTS_M = ((0.0, 0.8), (0.8, 1.6), (1.6, 2.4), (2.4, float('inf')))

_BORDER_M = 1e-4
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
        # Centres of another grid, such as Occ3D's, may lie on borders of this one's voxels: all to
        # the same side.
        ijk, inside = grid.indices(xyz(fields) - _BORDER_M)
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
    """Counts of voxels, or of sums of them.

    Attributes:
        true_positive: Predicted and true.
        false_positive: Predicted but not true.
        false_negative: True but not predicted.
    """

    true_positive: float = 0
    false_positive: float = 0
    false_negative: float = 0

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

    def ratios(self) -> dict[str, float | None]:
        """Return ``iou``, ``precision``, ``recall``; ``None`` where nothing can be scored."""
        tp, fp, fn = astuple(self)
        return {
            'iou': ratio(tp, tp + fp + fn),
            'precision': ratio(tp, tp + fp),
            'recall': ratio(tp, tp + fn),
        }


def rings(grid: VoxelGrid, rings_m: Sequence[tuple[float, float]] = RINGS_M) -> dict[str, Voxels]:
    """Return the voxels ``[X, Y, Z]`` of each ring by name.

    Args:
        grid: The grid; distances are horizontal, from the ego origin to the voxel centre.
        rings_m: Inner and outer radius of each ring; they may overlap.
    """
    centers = grid.centers()
    distance_m = np.hypot(centers[..., 0], centers[..., 1])
    return {
        _ring_name(low, high): (distance_m >= low) & (distance_m < high) for low, high in rings_m
    }


def camera_views(grid: VoxelGrid, rig: Rig) -> dict[str, Voxels]:
    """Return by camera the voxels ``[X, Y, Z]`` whose centre is in its image."""
    return {
        camera.name: grid.visible_from(camera.image_from_ego[None], (camera.height, camera.width))
        for camera in rig
    }


class OccupancyScores(Accumulator):
    """Accumulates the occupancy scores of many moments.

    Args:
        grid: Grid of the predictions.
        rings_m: Rings that are also scored by themselves, see ``rings``.
        heights_m: Low and high end of each band of height above the true ground.
    """

    def __init__(
        self,
        grid: VoxelGrid,
        rings_m: Sequence[tuple[float, float]] = RINGS_M,
        heights_m: Sequence[tuple[float, float]] = HEIGHTS_M,
    ) -> None:
        super().__init__()
        self._grid = grid
        self._rings = rings(grid, rings_m)
        self._bands = {_ring_name(low, high): (low, high) for low, high in heights_m}

    @property
    def settings(self) -> object:
        """Grid, rings and bands of height."""
        return self._grid, tuple(self._rings), tuple(self._bands)

    def add(
        self,
        predicted: Voxels,
        truth: OccupancyTruth,
        regions: Mapping[str, Voxels] | None = None,
        frame: Frame | None = None,
    ) -> None:
        """Take a moment.

        Args:
            predicted: Voxels that are predicted to be occupied ``[X, Y, Z]``.
            truth: What is true.
            regions: Voxels ``[X, Y, Z]`` that are also scored by themselves, such as those in the
                image of each camera.
            frame: Drive and stamp of the moment.
        """
        frame, domain = self._frame(frame), truth.obstacle_domain
        self.statistics.add(frame, 'moments', [1])
        places = {'': np.ones(predicted.shape, bool)}
        places |= {f'range/{name}': ring for name, ring in self._rings.items()}
        places |= {f'region/{name}': region for name, region in (regions or {}).items()}
        for place, mask in places.items():
            everything = Confusion.of(predicted, truth.occupied, truth.visible & mask)
            obstacles = Confusion.of(predicted, truth.obstacles, domain & mask)
            self.statistics.add(frame, f'all|{place}', astuple(everything))
            self.statistics.add(frame, f'obstacles|{place}', astuple(obstacles))
        height_m = height_above_ground(truth.ground, self._grid)
        for name, (low_m, high_m) in self._bands.items():
            band = domain & (height_m >= low_m) & (height_m < high_m)
            counts = astuple(Confusion.of(predicted, truth.obstacles, band))
            self.statistics.add(frame, f'obstacles|height/{name}', counts)

    def summary_of(self, totals: Mapping[str, Numbers]) -> Summary:
        """Return ``iou``, ``precision``, ``recall``, the same for obstacles and by place.

        ``by_range`` has the rings, ``by_region`` the regions, ``by_height`` obstacles alone.
        """
        scores = {key: Confusion(*sums).ratios() for key, sums in totals.items() if '|' in key}
        nothing = Confusion().ratios()

        def of(place: str) -> Summary:
            everything = scores.get(f'all|{place}', nothing)
            return {**everything, 'obstacles': scores.get(f'obstacles|{place}', nothing)}

        start = 'all|region/'
        regions = [key[len(start) :] for key in scores if key.startswith(start)]
        return {
            'moments': round(float(totals.get('moments', np.zeros(1))[0])),
            **of(''),
            'by_range': {name: of(f'range/{name}') for name in self._rings},
            'by_region': {name: of(f'region/{name}') for name in regions},
            'by_height': {
                name: {'obstacles': scores.get(f'obstacles|height/{name}', nothing)}
                for name in self._bands
            },
        }


def _ring_name(low_m: float, high_m: float) -> str:
    return f'{low_m:g}-{high_m:g} m' if np.isfinite(high_m) else f'{low_m:g}+ m'
