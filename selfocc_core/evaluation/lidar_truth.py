"""True occupancy of a drive that has a LiDAR and no voxels.

What the sweeps around a moment tell (``selfocc_core.evaluation.lidar_occupancy``), as far as a
camera can see it. There are no classes; the ground is told by its shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from selfocc_core.bag_messages import decode_point_cloud, stamp_ns_of, xyz
from selfocc_core.bags import BagReader
from selfocc_core.cameras import Camera, Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.drive import EGO_FRAME, Drive
from selfocc_core.evaluation.lidar_occupancy import LidarOccupancy, Sweep, lidar_occupancy
from selfocc_core.evaluation.occupancy import OccupancyTruth, Voxels
from selfocc_core.evaluation.ray_casting import walk
from selfocc_core.evaluation.truth import LIDAR_TOLERANCE_NS, LIDAR_TOPIC, nearest
from selfocc_core.transforms import transform_points
from selfocc_core.voxels import VoxelGrid, VoxelState

WINDOW_NS = 1_000_000_000
MOST_SWEEPS = 21
VEHICLE_BOX_M = ((-1.2, -1.1, -0.3), (4.2, 1.1, 2.2))
"""Where points are of the vehicle itself, in its frame: those of a car."""

_CAMERA_WIDTH_PX = 200
_GROUND_NEIGHBOURHOOD_M = 4.0

Floats = NDArray[np.float64]
Box = tuple[tuple[float, float, float], tuple[float, float, float]]


def lidar_occupancy_truths(
    drive: Drive,
    grid: VoxelGrid,
    stamps_ns: Sequence[int],
    window_ns: int = WINDOW_NS,
    vehicle_box_m: Box = VEHICLE_BOX_M,
) -> Iterator[tuple[int, OccupancyTruth]]:
    """Yield stamp and truth of every moment that has a sweep within 60 ms.

    Args:
        drive: A drive with a LiDAR and odometry.
        grid: Grid of the truth.
        stamps_ns: The moments.
        window_ns: How far sweeps may be from the moment to add to it; at most 21 are taken, spread
            evenly.
        vehicle_box_m: Low and high corner, in the vehicle's frame, of the box whose points are
            those of the vehicle itself.

    Raises:
        SelfOccError: The drive has no odometry, is damaged, or does not say where the LiDAR is.
    """
    for stamp_ns, reference_ns, sweeps in _sweeps(drive, stamps_ns, window_ns, vehicle_box_m):
        told = lidar_occupancy(sweeps, reference_ns, grid)
        yield stamp_ns, truth_of(told, grid, drive.rig)


def truth_of(told: LidarOccupancy, grid: VoxelGrid, rig: Rig) -> OccupancyTruth:
    """Return the truth in which the known voxels count that a camera sees."""
    occupied = np.asarray(told.states == VoxelState.OCCUPIED, bool)
    known = told.states != VoxelState.UNKNOWN
    seen = seen_by_cameras(occupied, grid, rig)
    return OccupancyTruth(occupied, np.asarray(known & seen, bool), ground_of(occupied, grid))


def seen_by_cameras(occupied: Voxels, grid: VoxelGrid, rig: Rig) -> Voxels:
    """Return the voxels ``[X, Y, Z]`` that a ray of a camera crosses or first meets occupied."""
    seen = np.zeros(grid.shape, bool)
    for camera in rig:
        rays = _pixel_rays(camera)
        origin = camera.ego_from_camera[:3, 3]
        for step in walk(grid, origin, rays, opaque=occupied):
            seen.reshape(-1)[step.voxel] = True
    return seen


def _pixel_rays(camera: Camera) -> Floats:
    """Return directions ``[R, 3]`` through the pixels of the camera's image made small."""
    width = min(_CAMERA_WIDTH_PX, camera.width)
    small = camera.scaled_to(width, max(1, round(camera.height * width / camera.width)))
    v, u = np.mgrid[: small.height, : small.width]
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(u.size)], 1)
    rays = pixels @ np.linalg.inv(small.image_from_camera).T
    return np.asarray(rays @ small.ego_from_camera[:3, :3].T, np.float64)


def ground_of(occupied: Voxels, grid: VoxelGrid) -> Voxels:
    """Return the occupied voxels ``[X, Y, Z]`` that are ground.

    Ground is the lowest occupied voxel of a column, if it is at most one voxel above the lowest
    within 2 m to each side: slopes of streets are less steep, things that stand on them more.
    """
    levels = np.arange(grid.shape[2])
    lowest = np.where(occupied.any(2), occupied.argmax(2), grid.shape[2])
    cells = np.maximum(_GROUND_NEIGHBOURHOOD_M / grid.voxel_size_m[:2], 1).astype(int) // 2 * 2 + 1
    around = ndimage.minimum_filter(lowest, tuple(cells), mode='nearest')
    is_low = occupied & (levels <= around[..., None] + 1)
    return np.asarray(is_low & (levels == lowest[..., None]), bool)


def _sweeps(
    drive: Drive, stamps_ns: Sequence[int], window_ns: int, vehicle_box_m: Box
) -> Iterator[tuple[int, int, list[Sweep]]]:
    """Yield the moment, the stamp of its own sweep and all its sweeps in its ego frame."""
    if drive.trajectory is None:
        raise SelfOccError(
            f'drive {drive.path} has no odometry, without which LiDAR sweeps cannot be brought '
            'together: record nav_msgs/Odometry or /tf'
        )
    first_ns, last_ns = drive.trajectory.stamps_ns[[0, -1]]
    with BagReader(drive.path) as bag:
        sweeps_ns = {stamp_ns_of(message.decode()) for message in bag.messages([LIDAR_TOPIC])}
        known_ns = sorted(ns for ns in sweeps_ns if first_ns <= ns <= last_ns)
        waiting = {
            stamp_ns: _chosen(known_ns, nearest(known_ns, stamp_ns), window_ns)
            for stamp_ns in stamps_ns
            if known_ns and abs(nearest(known_ns, stamp_ns) - stamp_ns) <= LIDAR_TOLERANCE_NS
        }
        clouds: dict[int, tuple[Floats, Floats]] = {}
        for message in bag.messages([LIDAR_TOPIC]):
            cloud = message.decode()
            ego_from_lidar = drive.frames.lookup(EGO_FRAME, cloud.header.frame_id)
            points = transform_points(ego_from_lidar, xyz(decode_point_cloud(cloud)))
            points = points[~_is_own(points, vehicle_box_m)]
            clouds[stamp_ns_of(cloud)] = ego_from_lidar[:3, 3], points
            for stamp_ns in [s for s, needed in waiting.items() if clouds.keys() >= needed]:
                reference_ns = nearest(sorted(waiting[stamp_ns]), stamp_ns)
                chosen = {ns: clouds[ns] for ns in sorted(waiting.pop(stamp_ns))}
                yield stamp_ns, reference_ns, _moved(drive, stamp_ns, chosen)
            needed_still = set().union(*waiting.values())
            clouds = {ns: of_ns for ns, of_ns in clouds.items() if ns in needed_still}


def _chosen(known_ns: Sequence[int], reference_ns: int, window_ns: int) -> set[int]:
    """Return the stamps of the sweeps that add to a moment, its own among them."""
    near = [ns for ns in known_ns if abs(ns - reference_ns) <= window_ns]
    if len(near) > MOST_SWEEPS:
        places = np.round(np.linspace(0, len(near) - 1, MOST_SWEEPS)).astype(int)
        near = [near[place] for place in places]
    return {*near, reference_ns}


def _is_own(points: Floats, vehicle_box_m: Box) -> NDArray[np.bool_]:
    low, high = np.asarray(vehicle_box_m)
    return np.asarray(((points >= low) & (points <= high)).all(1), bool)


def _moved(
    drive: Drive, stamp_ns: int, clouds: Mapping[int, tuple[Floats, Floats]]
) -> list[Sweep]:
    """Return sweeps in the ego frame at a moment, of origins and points in their own."""
    return [
        Sweep.at(
            sweep_ns,
            transform_points(drive.motion(stamp_ns, sweep_ns), origin),
            transform_points(drive.motion(stamp_ns, sweep_ns), points),
        )
        for sweep_ns, (origin, points) in clouds.items()
    ]
