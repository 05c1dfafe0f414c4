"""Depth against true points: the errors of Eigen et al. 2014.

Truth is a set of points in the camera's optical frame, whether they come from a rendered depth
image or from a LiDAR. Errors are computed per image, averaged over the images of a camera and then
over the cameras, as SelfOcc does. Which points count, and whether predictions are scaled to the
truth, says a protocol (``selfocc_core.evaluation.depth_protocol``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.evaluation.accumulation import Accumulator, Frame, Numbers, Summary, mean, ratio
from selfocc_core.evaluation.depth_protocol import METRIC, DepthProtocol
from selfocc_core.transforms import Transform, transform_points
from selfocc_core.voxels import VoxelGrid

NEAREST_M = METRIC.nearest_m
FARTHEST_M = METRIC.farthest_m
METRICS = (
    'abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'delta_1', 'delta_2', 'delta_3', 'median_rel',
)  # fmt: skip
RANGES_M = ((0.0, 10.0), (10.0, 20.0), (20.0, 40.0), (40.0, 80.0))

Floats = NDArray[np.float64]


def depth_errors(
    predicted_m: Floats, true_m: Floats, protocol: DepthProtocol = METRIC
) -> dict[str, float]:
    """Return the errors of predicted depths ``[P]`` against true ones ``[P]``, P > 0.

    ``abs_rel`` to ``delta_3`` are those of Eigen et al. 2014 ("Depth map prediction from a single
    image using a multi-scale deep network", section 4.2): with prediction d and truth t the means
    of ``|d - t| / t`` and ``(d - t)² / t``, the square roots of the means of ``(d - t)²`` and
    ``(log d - log t)²``, and the shares of points whose ratio to the truth, ``max(d / t, t / d)``,
    is below 1.25, 1.25² and 1.25³. ``median_rel`` is the median of ``|d - t| / t``.
    """
    return _errors(protocol.prepared(predicted_m, true_m), true_m)


def _errors(predicted_m: Floats, true_m: Floats) -> dict[str, float]:
    difference_m = predicted_m - true_m
    relative = np.abs(difference_m) / true_m
    log_difference = np.log(predicted_m) - np.log(true_m)
    ratios = np.maximum(predicted_m / true_m, true_m / predicted_m)
    return {
        'abs_rel': float(np.mean(relative)),
        'sq_rel': float(np.mean(difference_m**2 / true_m)),
        'rmse': float(np.sqrt(np.mean(difference_m**2))),
        'rmse_log': float(np.sqrt(np.mean(log_difference**2))),
        **{f'delta_{k}': float(np.mean(ratios < 1.25**k)) for k in (1, 2, 3)},
        'median_rel': float(np.median(relative)),
    }


def visible_points(
    points: Floats,
    image_from_camera: Floats,
    size: tuple[int, int],
    protocol: DepthProtocol = METRIC,
) -> tuple[Floats, Floats]:
    """Return the valid true points that a depth image covers, and where in it they lie.

    Args:
        points: True points in the camera's optical frame ``[P, 3]``.
        image_from_camera: Intrinsics ``[3, 3]`` of the depth image.
        size: Its height and width.
        protocol: Says how deep they may be; its crop is that of the whole image of the camera, see
            ``DepthProtocol.counted``.

    Returns:
        Points ``[Q, 3]`` and their sub-pixel positions ``[Q, 2]``.
    """
    points = points[protocol.in_range(points[:, 2])]
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


class DepthErrors(Accumulator):
    """Accumulates the depth errors of many images under one protocol.

    Args:
        protocol: How depths are compared.
        ranges_m: Least and largest true depth of each range that is also scored by itself.
    """

    def __init__(
        self,
        protocol: DepthProtocol = METRIC,
        ranges_m: Sequence[tuple[float, float]] = RANGES_M,
    ) -> None:
        super().__init__()
        self.protocol = protocol
        self._ranges = {f'{low:g}-{high:g} m': (low, high) for low, high in ranges_m}

    @property
    def settings(self) -> object:
        """Protocol and ranges."""
        return self.protocol, tuple(self._ranges)

    def add(
        self,
        camera: str,
        predicted_m: Floats,
        true_m: Floats,
        groups: Mapping[str, NDArray[np.bool_]] | None = None,
        frame: Frame | None = None,
    ) -> None:
        """Take the depths of one image.

        Args:
            camera: Its camera.
            predicted_m: Predicted depth ``[P]`` at the true points that the protocol counts.
            true_m: Their true depth ``[P]``; an image may have none.
            groups: Points ``[P]`` that are also scored by themselves, such as those of a class.
            frame: Drive and stamp of the frame set that the image belongs to, so that the cameras
                of a moment stay together; by default every image is a frame.
        """
        frame = self._frame(frame)
        chosen = {
            'all': np.ones(len(true_m), bool),
            **{
                f'range/{name}': (true_m >= low) & (true_m < high)
                for name, (low, high) in self._ranges.items()
            },
            **{f'group/{name}': mask for name, mask in (groups or {}).items()},
        }
        compared_m = self.protocol.prepared(predicted_m, true_m)
        self.statistics.add(frame, f'images/{camera}', [1.0])
        for name, mask in chosen.items():
            sums = np.zeros(1 + len(METRICS))
            if mask.any():
                errors = _errors(compared_m[mask], true_m[mask])
                sums = np.array([1.0, *(errors[metric] for metric in METRICS)])
            self.statistics.add(frame, f'{name}|{camera}', sums)

    def summary_of(self, totals: Mapping[str, Numbers]) -> Summary:
        """Return the mean errors of all points, ``by_camera``, ``by_range`` and ``by_group``.

        Means are over the images of each camera that have such points, then over the cameras.
        """
        places: dict[str, dict[str, Numbers]] = {'all': {}}
        for key, sums in totals.items():
            name, found, camera = key.rpartition('|')
            if found:
                places.setdefault(name, {})[camera] = sums
        images = sum(sums[0] for key, sums in totals.items() if key.startswith('images/'))
        return {
            'images': round(float(images)),
            **_mean_over_cameras(places['all']),
            'by_camera': {name: _mean_of_images(sums) for name, sums in places['all'].items()},
            **{
                f'by_{kind}': {
                    name.partition('/')[2]: _mean_over_cameras(of_cameras)
                    for name, of_cameras in places.items()
                    if name.startswith(f'{kind}/')
                }
                for kind in ('range', 'group')
            },
        }


def _mean_of_images(sums: Numbers) -> dict[str, float | None]:
    images, *errors = sums
    return {name: ratio(error, images) for name, error in zip(METRICS, errors, strict=True)}


def _mean_over_cameras(of_cameras: Mapping[str, Numbers]) -> dict[str, float | None]:
    means = [_mean_of_images(sums) for sums in of_cameras.values()]
    return {name: mean([of_camera[name] for of_camera in means]) for name in METRICS}


class DepthScores:
    """Accumulates the depth errors of many images, of a model and of the flat ground.

    Attributes:
        errors: Errors of ``model`` and ``flat_ground``; the group ``in_volume`` has the points in
            the volume of the model, to which the fair comparison is restricted.

    Args:
        grid: That volume.
        protocol: How depths are compared.
    """

    def __init__(self, grid: VoxelGrid, protocol: DepthProtocol = METRIC) -> None:
        self._grid, self._protocol = grid, protocol
        self.errors = {who: DepthErrors(protocol) for who in ('model', 'flat_ground')}

    def add(
        self,
        camera: str,
        depth_m: NDArray[np.float32],
        image_from_camera: Floats,
        points: Floats,
        ego_from_camera: Transform,
        frame: Frame | None = None,
    ) -> None:
        """Take one depth image.

        Args:
            camera: Its camera.
            depth_m: Depth ``[h, w]``; +Inf counts as the exit from the volume.
            image_from_camera: Its intrinsics.
            points: True points ``[P, 3]`` in the camera's optical frame at the shutter time of the
                image; of a protocol with a crop those that ``DepthProtocol.counted`` returns.
            ego_from_camera: Where the camera is.
            frame: Drive and stamp of the frame set, see ``DepthErrors.add``.
        """
        depth_m = closed_by_volume(depth_m, image_from_camera, ego_from_camera, self._grid)
        points, pixels = visible_points(points, image_from_camera, depth_m.shape, self._protocol)
        predictions = {
            'model': sample_bilinear(depth_m, pixels),
            'flat_ground': flat_ground_depth(points, ego_from_camera, self._grid),
        }
        _, in_volume = self._grid.indices(transform_points(ego_from_camera, points))
        for who, predicted_m in predictions.items():
            groups = {'in_volume': in_volume}
            self.errors[who].add(camera, predicted_m, points[:, 2], groups, frame)

    def merge(self, other: DepthScores) -> DepthScores:
        """Return the scores of the images of both, see ``Accumulator.merge``."""
        merged = DepthScores(self._grid, self._protocol)
        merged.errors = {who: self.errors[who].merge(other.errors[who]) for who in self.errors}
        return merged

    def summary(self, who: str = 'model') -> dict[str, Any]:
        """Return the mean errors of ``model`` or ``flat_ground``.

        As in ``DepthErrors.summary_of``, with ``in_volume`` in place of the groups.
        """
        scores = self.errors[who].summary()
        groups = scores.pop('by_group')
        return {**scores, 'in_volume': groups.get('in_volume', dict.fromkeys(METRICS))}
