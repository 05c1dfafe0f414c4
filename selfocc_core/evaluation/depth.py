"""Depth against true points: the errors of Eigen et al. 2014, without median scaling.

Truth is a set of points in the camera's optical frame, whether they come from a rendered depth
image or from a LiDAR. Errors are computed per image, averaged over the images of a camera and then
over the cameras, as SelfOcc does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.transforms import Transform, transform_points
from selfocc_core.voxels import VoxelGrid

NEAREST_M = 0.5
FARTHEST_M = 80.0
METRICS = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'delta_1', 'delta_2', 'delta_3')

_SMALLEST_PREDICTION_M = 1e-3

Floats = NDArray[np.float64]


def depth_errors(predicted_m: Floats, true_m: Floats) -> dict[str, float]:
    """Return the errors of predicted depths ``[P]`` against true ones ``[P]``, P > 0.

    Predictions are clamped to 80 m.
    ``delta_k`` is the share of points whose ratio to the truth is below 1.25^k.
    """
    predicted_m = np.clip(predicted_m, _SMALLEST_PREDICTION_M, FARTHEST_M)
    difference_m = predicted_m - true_m
    log_difference = np.log(predicted_m) - np.log(true_m)
    ratio = np.exp(np.abs(log_difference))
    return {
        'abs_rel': float(np.mean(np.abs(difference_m) / true_m)),
        'sq_rel': float(np.mean(difference_m**2 / true_m)),
        'rmse': float(np.sqrt(np.mean(difference_m**2))),
        'rmse_log': float(np.sqrt(np.mean(log_difference**2))),
        **{f'delta_{k}': float(np.mean(ratio < 1.25**k)) for k in (1, 2, 3)},
    }


def visible_points(
    points: Floats, image_from_camera: Floats, size: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Return the valid true points that a depth image covers, and where in it they lie.

    Args:
        points: True points in the camera's optical frame ``[P, 3]``.
        image_from_camera: Intrinsics ``[3, 3]`` of the depth image.
        size: Its height and width.

    Returns:
        Points ``[Q, 3]`` between 0.5 and 80 m deep and their sub-pixel positions ``[Q, 2]``.
    """
    depth_m = points[:, 2]
    points = points[(depth_m >= NEAREST_M) & (depth_m <= FARTHEST_M)]
    pixels = project(points, image_from_camera)
    height, width = size
    within = (pixels >= -0.5).all(1) & (pixels <= (width - 0.5, height - 0.5)).all(1)
    return points[within], pixels[within]


def project(points: Floats, image_from_camera: Floats) -> Floats:
    """Return the pixels ``[P, 2]`` of points ``[P, 3]`` in front of the camera."""
    homogeneous = points @ image_from_camera.T
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:], np.float64)


def sample_bilinear(depth_m: NDArray[np.float32], pixels: Floats) -> Floats:
    """Return the depth ``[P]`` at sub-pixel positions ``[P, 2]`` of a depth image ``[h, w]``.

    Beyond the outermost pixel centres the border continues.
    """
    if len(pixels) == 0:
        return np.empty(0)
    x, y = (np.float32(pixels[:, axis]).reshape(-1, 1) for axis in (0, 1))
    return np.concatenate(
        [
            _remap(depth_m, x[start : start + 32000], y[start : start + 32000])
            for start in range(0, len(x), 32000)  # OpenCV bounds the height of an image
        ]
    )


def _remap(depth_m: NDArray[np.float32], x: NDArray[Any], y: NDArray[Any]) -> Floats:
    sampled = cv2.remap(depth_m, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.float64).reshape(-1)


def volume_exit_depth(points: Floats, ego_from_camera: Transform, grid: VoxelGrid) -> Floats:
    """Return the depth ``[P]`` at which the rays to points ``[P, 3]`` leave the grid's volume."""
    steps = points / points[:, 2:] @ ego_from_camera[:3, :3].T  # one metre of depth
    origin = ego_from_camera[:3, 3]
    with np.errstate(divide='ignore', invalid='ignore'):
        far_faces = np.where(steps > 0, grid.maximum_m, grid.minimum_m)
        to_faces_m = np.where(steps != 0, (far_faces - origin) / steps, np.inf)
    return np.asarray(to_faces_m.min(1), np.float64)


def closed_by_volume(
    depth_m: NDArray[np.float32],
    image_from_camera: Floats,
    ego_from_camera: Transform,
    grid: VoxelGrid,
) -> NDArray[np.float32]:
    """Return a depth image ``[h, w]`` in which +Inf is where the ray leaves the volume.

    +Inf says that nothing was met in the volume; the nearest depth that agrees with this is the
    exit. SelfOcc's own protocol, which clips to the rendered interval, scores it the same way,
    and so does the flat-ground baseline here.
    """
    v, u = np.nonzero(~np.isfinite(depth_m))
    rays = np.stack([u, v, np.ones(len(u))], 1) @ np.linalg.inv(image_from_camera).T
    closed: NDArray[np.float32] = depth_m.copy()
    closed[v, u] = volume_exit_depth(rays, ego_from_camera, grid)
    return closed


def flat_ground_depth(points: Floats, ego_from_camera: Transform, grid: VoxelGrid) -> Floats:
    """Return the depth ``[P]`` that the baseline gives along the rays to points ``[P, 3]``.

    The baseline knows calibration only: a ray ends at the plane z = 0 of the ego frame or where it
    leaves the volume of the grid, whichever comes first.
    """
    downwards = points / points[:, 2:] @ ego_from_camera[2, :3]  # one metre of depth
    with np.errstate(divide='ignore'):
        to_ground_m = np.where(downwards < 0, -ego_from_camera[2, 3] / downwards, np.inf)
    exit_m = volume_exit_depth(points, ego_from_camera, grid)
    return np.asarray(np.minimum(to_ground_m, exit_m), np.float64)


class DepthScores:
    """Accumulates the depth errors of many images.

    Args:
        grid: Volume of the model; the fair comparison takes only truth inside it.
    """

    def __init__(self, grid: VoxelGrid) -> None:
        self._grid = grid
        self._errors: dict[str, dict[str, list[dict[str, float]]]] = {}
        self.images = 0

    def add(
        self,
        camera: str,
        depth_m: NDArray[np.float32],
        image_from_camera: Floats,
        points: Floats,
        ego_from_camera: Transform,
    ) -> None:
        """Take one depth image ``[h, w]`` with its intrinsics, and true points ``[P, 3]``.

        The points are in the camera's optical frame at the shutter time of the image; +Inf in
        the image counts as the exit from the volume.
        """
        depth_m = closed_by_volume(depth_m, image_from_camera, ego_from_camera, self._grid)
        points, pixels = visible_points(points, image_from_camera, depth_m.shape)
        predictions = {
            'model': sample_bilinear(depth_m, pixels),
            'flat_ground': flat_ground_depth(points, ego_from_camera, self._grid),
        }
        _, in_volume = self._grid.indices(transform_points(ego_from_camera, points))
        chosen = {'all': np.ones(len(points), bool), 'in_volume': in_volume}
        self.images += 1
        for who, predicted_m in predictions.items():
            for where, mask in chosen.items():
                if mask.any():
                    errors = depth_errors(predicted_m[mask], points[mask, 2])
                    self._of(f'{who}/{where}').setdefault(camera, []).append(errors)

    def _of(self, kind: str) -> dict[str, list[dict[str, float]]]:
        return self._errors.setdefault(kind, {})

    def summary(self, who: str = 'model') -> dict[str, Any]:
        """Return the mean errors of ``model`` or ``flat_ground``: all, in volume, per camera."""
        everywhere, in_volume = self._of(f'{who}/all'), self._of(f'{who}/in_volume')
        return {
            'images': self.images,
            **mean_over_cameras(everywhere),
            'in_volume': mean_over_cameras(in_volume),
            'by_camera': {name: _mean(errors) for name, errors in sorted(everywhere.items())},
        }


def mean_over_cameras(
    errors: Mapping[str, list[dict[str, float]]],
) -> dict[str, float | None]:
    """Average over the images of each camera, then over the cameras; ``None`` without images."""
    return _mean([_mean(of_camera) for of_camera in errors.values()])


def _mean(errors: list[Any]) -> dict[str, float | None]:
    if not errors:
        return dict.fromkeys(METRICS)
    return {name: float(np.mean([error[name] for error in errors])) for name in METRICS}
