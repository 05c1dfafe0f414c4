"""What a drive knows of the truth: rendered depth and voxels, or a LiDAR."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.bag_messages import decode_float, decode_point_cloud, stamp_ns_of, xyz
from selfocc_core.bags import BagReader
from selfocc_core.cameras import Camera
from selfocc_core.evaluation.drive import EGO_FRAME, Drive
from selfocc_core.evaluation.hidden_points import beam_gap_rad, seen_points
from selfocc_core.evaluation.occupancy import OccupancyTruth
from selfocc_core.transforms import invert, transform_points
from selfocc_core.voxels import VoxelGrid

VOXELS_TOPIC = '/ground_truth/voxels'
LIDAR_TOPIC = '/lidar/points'

_DEPTH_TOPIC = re.compile(r'/ground_truth/([a-z][a-z0-9_]*)/depth')
_MAX_POINTS_PER_IMAGE = 20_000
LIDAR_TOLERANCE_NS = 60_000_000
_LIDAR_SPACING_PX = 8.0  # at 1600 pixels of width

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DepthTruth:
    """True points seen by a camera at one shutter time.

    Attributes:
        camera: Name of the camera.
        stamp_ns: Shutter time of its image.
        points: Points in its optical frame ``[P, 3]``.
        spacing_px: Distance between neighbouring points in the camera's image, for drawing.
    """

    camera: str
    stamp_ns: int
    points: Floats
    spacing_px: float


def depth_source(drive: Drive) -> str | None:
    """Return where the depth truth comes from: ``ground_truth``, ``lidar`` or ``None``."""
    if any(_DEPTH_TOPIC.fullmatch(topic) for topic in drive.topics):
        return 'ground_truth'
    return 'lidar' if LIDAR_TOPIC in drive.topics else None


def occupancy_truths(drive: Drive, grid: VoxelGrid) -> Iterator[tuple[int, OccupancyTruth]]:
    """Yield stamp and truth of every moment whose voxels the drive knows."""
    with BagReader(drive.path) as bag:
        for message in bag.messages([VOXELS_TOPIC]):
            cloud = message.decode()
            fields = decode_point_cloud(cloud)
            yield stamp_ns_of(cloud), OccupancyTruth.from_points(fields, grid)


def depth_truths(drive: Drive, wanted: Iterable[tuple[str, int]]) -> Iterator[DepthTruth]:
    """Yield the true points for images, given as camera and shutter time, where there are any.

    Raises:
        SelfOccError: A LiDAR cloud is in a frame that /tf_static does not mount on the vehicle.
    """
    source = depth_source(drive)
    if source == 'ground_truth':
        yield from _rendered(drive, set(wanted))
    elif source == 'lidar':
        yield from _from_lidar(drive, sorted(wanted, key=lambda image: image[1]))


def _rendered(drive: Drive, wanted: set[tuple[str, int]]) -> Iterator[DepthTruth]:
    names = {t: m[1] for t in drive.topics if (m := _DEPTH_TOPIC.fullmatch(t))}
    with BagReader(drive.path) as bag:
        for message in bag.messages([topic for topic in names if names[topic] in drive.rig.names]):
            image = message.decode()
            key = names[message.topic], stamp_ns_of(image)
            if key in wanted:
                yield _from_depth_image(drive.rig[key[0]], key[1], decode_float(image))


def _from_depth_image(camera: Camera, stamp_ns: int, depth_m: NDArray[np.float32]) -> DepthTruth:
    height, width = depth_m.shape
    stride = max(1, int(np.ceil(np.sqrt(height * width / _MAX_POINTS_PER_IMAGE))))
    v, u = np.mgrid[stride // 2 : height : stride, stride // 2 : width : stride]
    z = depth_m[v, u].astype(np.float64)
    # The truth may be rendered smaller than the image; pixel centres are at integers.
    scale_x, scale_y = camera.width / width, camera.height / height
    pixels = np.stack([(u + 0.5) * scale_x - 0.5, (v + 0.5) * scale_y - 0.5, np.ones(u.shape)], -1)
    valid = np.isfinite(z) & (z > 0)
    rays = pixels[valid] @ np.linalg.inv(camera.image_from_camera).T
    return DepthTruth(camera.name, stamp_ns, rays * z[valid, None], stride * scale_x)


def _from_lidar(drive: Drive, wanted: list[tuple[str, int]]) -> Iterator[DepthTruth]:
    """Project the cloud nearest in time into each image, moved by odometry to its shutter time."""
    with BagReader(drive.path) as bag:
        stamps_ns = sorted(stamp_ns_of(m.decode()) for m in bag.messages([LIDAR_TOPIC]))
        images_of: dict[int, list[tuple[str, int]]] = {}
        for camera, stamp_ns in wanted:
            nearest_ns = nearest(stamps_ns, stamp_ns)
            if abs(nearest_ns - stamp_ns) <= LIDAR_TOLERANCE_NS:
                images_of.setdefault(nearest_ns, []).append((camera, stamp_ns))
        for message in bag.messages([LIDAR_TOPIC]):
            cloud = message.decode()
            for camera, stamp_ns in images_of.get(stamp_ns_of(cloud), []):
                yield _lidar_in_image(drive, drive.rig[camera], stamp_ns, cloud)


def nearest(sorted_ns: list[int], stamp_ns: int) -> int:
    """Return the stamp that is nearest to another, of at least one."""
    place = bisect_left(sorted_ns, stamp_ns)
    candidates = sorted_ns[max(0, place - 1) : place + 1]
    return min(candidates, key=lambda candidate_ns: abs(candidate_ns - stamp_ns))


def _lidar_in_image(drive: Drive, camera: Camera, stamp_ns: int, cloud: Any) -> DepthTruth:
    ego_from_lidar = drive.frames.lookup(EGO_FRAME, cloud.header.frame_id)
    ego_at_shutter_from_ego = drive.motion(stamp_ns, stamp_ns_of(cloud))
    camera_from_lidar = invert(camera.ego_from_camera) @ ego_at_shutter_from_ego @ ego_from_lidar
    points = xyz(decode_point_cloud(cloud))
    gap_rad = beam_gap_rad(points[np.isfinite(points).all(1)])
    points = transform_points(camera_from_lidar, points)
    size = camera.height, camera.width
    seen = seen_points(points, camera.image_from_camera, size, gap_rad)
    spacing_px = _LIDAR_SPACING_PX * camera.width / 1600
    return DepthTruth(camera.name, stamp_ns, points[seen], spacing_px)
