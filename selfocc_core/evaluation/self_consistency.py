"""What can be said of a model without any truth: does it agree with the video, and with itself?

*Photometric error.* If depth and motion are right, each pixel shows the same thing as the place in
a neighbouring image that it is projected to. This is what SelfOcc, like Monodepth2 (Godard et al.
2019, arXiv 1806.01260, equations 1 to 3), minimises in training; in a drive that was not trained
on it is a score. It says little where there is no texture, and nothing by itself: it is measured
beside the errors of two guesses that know no image, flat ground and no motion at all.

*Temporal agreement.* What stands still must be at the same place when it is seen again from
elsewhere. Also of this the score says little by itself: a model that predicts nothing agrees with
itself. It is measured beside the agreement that one has without accounting for the motion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.depth import DepthImage
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.accumulation import Accumulator, Frame, Numbers, Summary, mean, ratio
from selfocc_core.evaluation.depth import (
    closed_by_volume,
    flat_ground_depth,
    project,
    sample_bilinear,
)
from selfocc_core.frames import Image
from selfocc_core.transforms import Transform, invert, transform_points
from selfocc_core.voxels import VoxelGrid, VoxelState

_L1_SHARE, _SSIM_SHARE = 0.15, 0.85
_C1, _C2 = 0.01**2, 0.03**2  # Wang et al. 2004
_GUESSES = ('model', 'flat_ground', 'no_motion')
_FEWEST_PIXELS = 100
_NEAREST_M = 0.1

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class View:
    """A rectified image, such as the network's input, and where it was taken.

    Attributes:
        image: RGB image ``[H, W, 3]`` without distortion.
        image_from_camera: Its intrinsics ``[3, 3]``.
        ego_from_camera: Where the camera is on the vehicle.
    """

    image: Image
    image_from_camera: Floats
    ego_from_camera: Transform


def dissimilarity(one: Floats, other: Floats) -> Floats:
    """Return how different two images ``[H, W, 3]`` in 0 to 1 are at each pixel ``[H, W]``.

    ``0.15 |a - b| + 0.85 (1 - SSIM(a, b)) / 2``, the mean over the colours, with SSIM of Wang et
    al. 2004 over 3x3 pixels and a reflected border.
    """
    mean_one, mean_other = _box(one), _box(other)
    variance = _box(one**2) - mean_one**2 + _box(other**2) - mean_other**2
    covariance = _box(one * other) - mean_one * mean_other
    likeness = (2 * mean_one * mean_other + _C1) * (2 * covariance + _C2)
    scale = (mean_one**2 + mean_other**2 + _C1) * (variance + _C2)
    structure = np.clip((1 - likeness / scale) / 2, 0, 1)
    return np.asarray(
        (_L1_SHARE * np.abs(one - other) + _SSIM_SHARE * structure).mean(-1), np.float64
    )


def _box(image: Floats) -> Floats:
    return np.asarray(cv2.blur(image, (3, 3), borderType=cv2.BORDER_REFLECT_101), np.float64)


class PhotometricError(Accumulator):
    """Accumulates how well predicted depth explains neighbouring images.

    Args:
        grid: Volume of the model: +Inf of a depth image is where the ray leaves it.
    """

    def __init__(self, grid: VoxelGrid) -> None:
        super().__init__()
        self._grid = grid

    @property
    def settings(self) -> object:
        """The volume."""
        return self._grid

    def add(
        self,
        camera: str,
        target: View,
        source: View,
        ego_at_source_from_ego_at_target: Transform,
        depth: DepthImage,
        frame: Frame | None = None,
    ) -> None:
        """Take two neighbouring images.

        Pixels count whose place both of the model and of flat ground is in the source.

        Args:
            camera: Camera of both.
            target: The image of which depth was predicted.
            source: The same camera's image before or after it.
            ego_at_source_from_ego_at_target: Motion of the vehicle between their shutters.
            depth: Predicted depth at the shutter of the target.
            frame: Drive and stamp of the frame set of the target.
        """
        rays = _rays(target)
        source_from_target = invert(source.ego_from_camera) @ (
            ego_at_source_from_ego_at_target @ target.ego_from_camera
        )
        depths = {
            'model': self._depth_at(rays, depth, target.ego_from_camera),
            'flat_ground': flat_ground_depth(
                rays.reshape(-1, 3), target.ego_from_camera, self._grid
            ).reshape(rays.shape[:2]),
        }
        image = target.image / 255.0
        errors = {'no_motion': dissimilarity(image, source.image / 255.0)}
        counted = np.ones(rays.shape[:2], bool)
        for who, depth_m in depths.items():
            points = transform_points(source_from_target, rays * depth_m[..., None])
            warped, inside = _sampled(source, points)
            errors[who] = dissimilarity(image, np.where(inside[..., None], warped, image))
            counted &= inside & np.isfinite(depth_m)
        counted = cv2.erode(counted.astype(np.uint8), np.ones((3, 3))) > 0  # as far as SSIM sees
        sums = np.zeros(1 + len(_GUESSES))
        if np.count_nonzero(counted) >= _FEWEST_PIXELS:
            sums = np.array([1.0, *(errors[who][counted].mean() for who in _GUESSES)])
        self.statistics.add(self._frame(frame), camera, sums)

    def _depth_at(self, rays: Floats, depth: DepthImage, ego_from_camera: Transform) -> Floats:
        """Return the depth ``[H, W]`` along rays; NaN where the depth image does not reach."""
        closed_m = closed_by_volume(
            depth.depth_m, depth.image_from_camera, ego_from_camera, self._grid
        )
        pixels = project(rays.reshape(-1, 3), depth.image_from_camera)
        height, width = closed_m.shape
        covered = (pixels >= -0.5).all(1) & (pixels <= (width - 0.5, height - 0.5)).all(1)
        depth_m = np.where(covered, sample_bilinear(closed_m, pixels), np.nan)
        return np.asarray(depth_m.reshape(rays.shape[:2]), np.float64)

    def summary_of(self, totals: Mapping[str, Numbers]) -> Summary:
        """Return the mean error of ``model``, ``flat_ground`` and ``no_motion``.

        Means are over the pairs of images of each camera that have at least 100 such pixels, then
        over the cameras; ``pairs`` is how many these are.
        """
        by_camera = {
            camera: {who: ratio(error, pairs) for who, error in zip(_GUESSES, errors, strict=True)}
            for camera, (pairs, *errors) in totals.items()
        }
        return {
            'pairs': round(float(sum(sums[0] for sums in totals.values()))),
            **{who: mean([errors[who] for errors in by_camera.values()]) for who in _GUESSES},
            'by_camera': by_camera,
        }


def _rays(view: View) -> Floats:
    """Return the rays ``[H, W, 3]`` through the pixels of a view, in its camera's frame, z = 1."""
    height, width = view.image.shape[:2]
    v, u = np.mgrid[:height, :width]
    pixels = np.stack([u, v, np.ones_like(u)], -1)
    return np.asarray(pixels @ np.linalg.inv(view.image_from_camera).T, np.float64)


def _sampled(source: View, points: Floats) -> tuple[Floats, Mask]:
    """Return the colour ``[H, W, 3]`` of points ``[H, W, 3]`` in a view, and where it has one."""
    height, width = source.image.shape[:2]
    in_front = points[..., 2] > _NEAREST_M
    homogeneous = np.where(in_front[..., None], points, 1.0) @ source.image_from_camera.T
    pixels = homogeneous[..., :2] / homogeneous[..., 2:]
    inside = in_front & (pixels >= 0).all(-1) & (pixels <= (width - 1, height - 1)).all(-1)
    places = np.where(inside[..., None], pixels, 0.0).astype(np.float32)
    colors = cv2.remap(source.image.astype(np.float32) / 255, places, None, cv2.INTER_LINEAR)
    return np.asarray(colors, np.float64), np.asarray(inside, bool)


class TemporalAgreement(Accumulator):
    """Accumulates how well the occupancy of one moment agrees with that of another.

    Args:
        grid: Grid of both.
    """

    def __init__(self, grid: VoxelGrid) -> None:
        super().__init__()
        self._grid = grid
        self._centers = grid.centers()

    @property
    def settings(self) -> object:
        """The grid."""
        return self._grid

    def add(
        self,
        states: NDArray[np.uint8],
        later_states: NDArray[np.uint8],
        later_from_earlier: Transform,
        frame: Frame | None = None,
    ) -> None:
        """Take two moments between which the vehicle moved by several voxels.

        Voxels of the earlier moment are looked up at the nearest one of the later, so that edges
        disagree by half a voxel whatever the model does.

        Args:
            states: States of the voxels at the earlier moment ``[X, Y, Z]`` (``VoxelState``).
            later_states: At the later one.
            later_from_earlier: Motion of the vehicle, ``ego_at_later_from_ego_at_earlier``.
            frame: Drive and stamp of the earlier moment.

        Raises:
            SelfOccError: The states are not of the grid.
        """
        if states.shape != self._grid.shape or later_states.shape != self._grid.shape:
            raise SelfOccError(
                f'states of shape {states.shape} and {later_states.shape} are not of the grid '
                f'{self._grid.shape}: score each grid by itself'
            )
        ijk, inside = self._grid.indices(transform_points(later_from_earlier, self._centers))
        there = later_states[tuple(np.moveaxis(ijk, -1, 0))]
        counts = [
            _agreement(states, there, inside),
            _agreement(states, later_states, np.ones_like(inside)),
        ]
        self.statistics.add(self._frame(frame), 'voxels', counts)

    def summary_of(self, totals: Mapping[str, Numbers]) -> Summary:
        """Return how the voxels agree that both moments know, and the same ``without_motion``.

        ``agreement`` is the share of equal states; ``iou`` is that of what is occupied, in which
        free space does not count, of which there is most.
        """
        moved, still = (_shares(counts) for counts in totals.get('voxels', np.zeros((2, 4))))
        return {**moved, 'without_motion': still}


def _agreement(one: NDArray[np.uint8], other: NDArray[np.uint8], mask: Mask) -> list[int]:
    """Return how many voxels are known, equal, occupied in both and occupied in either."""
    known = mask & (one != VoxelState.UNKNOWN) & (other != VoxelState.UNKNOWN)
    one_occupied, other_occupied = (
        (states == VoxelState.OCCUPIED) & known for states in (one, other)
    )
    sets = known, known & (one == other), one_occupied & other_occupied
    return [int(np.count_nonzero(s)) for s in (*sets, one_occupied | other_occupied)]


def _shares(counts: Numbers) -> dict[str, float | None]:
    known, equal, both, either = counts
    return {'agreement': ratio(equal, known), 'iou': ratio(both, either)}
