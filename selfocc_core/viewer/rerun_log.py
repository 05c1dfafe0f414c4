"""A drive and its occupancy for the rerun viewer: in 3-D, along the time of the stamps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from numpy.typing import NDArray

from selfocc_core.bag_messages import decode_image, stamp_ns_of
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.drive import Drive
from selfocc_core.evaluation.moments import image_messages
from selfocc_core.evaluation.occupancy import occupied_voxels
from selfocc_core.evaluation.recording import Recording
from selfocc_core.files import temporary_sibling
from selfocc_core.preprocess import Preprocessor
from selfocc_core.progress import track
from selfocc_core.transforms import Transform
from selfocc_core.viewer.recorded_grid import recorded_grid
from selfocc_core.visualization.colors import voxel_colors
from selfocc_core.visualization.depth import FAR_M
from selfocc_core.voxels import VoxelGrid

_APPLICATION = 'selfocc'
_TIMELINE = 'stamp'
_EGO, _OCCUPANCY = 'world/ego', 'world/occupancy'
_IMAGE_PLANE_M = 2.0
_JPEG_QUALITY = 85


def write_rrd(drive: Drive, recording: Recording, path: Path) -> None:
    """Write a file that ``rerun PATH`` opens; nothing stands there unless all went well.

    Raises:
        SelfOccError: The drive turns out to be damaged, or the file cannot be written.
    """
    with temporary_sibling(path) as temporary:
        stream = rr.RecordingStream(_APPLICATION)
        stream.save(temporary, default_blueprint=_blueprint(drive))
        try:
            _log(stream, drive, recording)
        finally:
            stream.disconnect()


def open_viewer(drive: Drive, recording: Recording) -> None:
    """Open the viewer and send it the drive.

    Raises:
        SelfOccError: The drive turns out to be damaged, or the viewer does not start.
    """
    stream = rr.RecordingStream(_APPLICATION)
    try:
        stream.spawn(default_blueprint=_blueprint(drive))
    except RuntimeError as error:
        raise SelfOccError(
            f'the rerun viewer does not start ({error}): write a file with --rrd OUT.rrd'
        ) from error
    _log(stream, drive, recording)
    stream.disconnect()


def _blueprint(drive: Drive) -> rrb.Blueprint:
    images = [
        rrb.Spatial2DView(origin=f'{_EGO}/{name}/image', name=name.replace('_', ' '))
        for name in drive.rig.names
    ]
    scene = rrb.Spatial3DView(origin='world', name='occupancy')
    return rrb.Blueprint(
        rrb.Vertical(scene, rrb.Grid(*images, grid_columns=3), row_shares=[3, 2]),
        collapse_panels=True,
    )


def _log(stream: rr.RecordingStream, drive: Drive, recording: Recording) -> None:
    stream.log('world', rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    for camera in drive.rig:
        mounting = _transform(camera.ego_from_camera)
        stream.log(f'{_EGO}/{camera.name}', mounting, static=True)
    _log_images(stream, drive)
    _log_depths(stream, recording)
    _log_occupancy(stream, drive, recording)


def _log_images(stream: rr.RecordingStream, drive: Drive) -> None:
    undistorted = {c.name: Preprocessor(c, c.height, c.width) for c in drive.rig}
    for camera in drive.rig:
        pinhole = _pinhole(camera.image_from_camera, (camera.height, camera.width))
        stream.log(f'{_EGO}/{camera.name}/image', pinhole, static=True)
    for camera_name, message in track(image_messages(drive), 'Logging images'):
        stamp_ns = stamp_ns_of(message)
        _set_time(stream, stamp_ns)
        stream.log(_EGO, _world_from_ego(drive, stamp_ns))
        image = undistorted[camera_name](decode_image(message))
        stream.log(f'{_EGO}/{camera_name}/image', rr.Image(image).compress(_JPEG_QUALITY))


def _log_depths(stream: rr.RecordingStream, recording: Recording) -> None:
    for (camera, stamp_ns), depth in recording.depths.items():
        _set_time(stream, stamp_ns)
        path = f'{_EGO}/{camera}/depth'
        stream.log(path, _pinhole(depth.image_from_camera, depth.depth_m.shape))
        metres = np.where(np.isfinite(depth.depth_m), depth.depth_m, 0)  # 0 is "nothing" there
        stream.log(path, rr.DepthImage(metres, meter=1.0, depth_range=(0.0, FAR_M)))


def _log_occupancy(stream: rr.RecordingStream, drive: Drive, recording: Recording) -> None:
    if not recording.occupancy:
        return
    grid = recorded_grid(recording.occupancy.values())
    for stamp_ns, points in track(recording.occupancy.items(), 'Logging voxels'):
        _set_time(stream, stamp_ns)
        # In the world, not on the vehicle, which moves on until the next voxels come.
        stream.log(_OCCUPANCY, _world_from_ego(drive, stamp_ns))
        stream.log(_OCCUPANCY, _boxes(occupied_voxels(points, grid), grid))


def _boxes(occupied: NDArray[np.bool_], grid: VoxelGrid) -> rr.Boxes3D:
    ijk = np.argwhere(occupied & ~_enclosed(occupied))
    return rr.Boxes3D(
        centers=np.asarray(grid.minimum_m) + (ijk + 0.5) * grid.voxel_size_m,
        half_sizes=np.tile(grid.voxel_size_m / 2, (len(ijk), 1)),
        colors=voxel_colors(ijk, grid, None),
        fill_mode='solid',
    )


def _enclosed(occupied: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which voxels have an occupied one on all six sides: they cannot be seen."""
    padded = np.pad(occupied, 1)
    neighbours = [np.roll(padded, step, axis) for axis in range(3) for step in (-1, 1)]
    return np.asarray(np.logical_and.reduce(neighbours)[1:-1, 1:-1, 1:-1], bool)


def _set_time(stream: rr.RecordingStream, stamp_ns: int) -> None:
    stream.set_time(_TIMELINE, timestamp=np.datetime64(stamp_ns, 'ns'))


def _world_from_ego(drive: Drive, stamp_ns: int) -> rr.Transform3D:
    if drive.trajectory is None:
        return _transform(np.eye(4))
    try:
        return _transform(drive.trajectory.at(stamp_ns))
    except SelfOccError as error:
        raise SelfOccError(f'drive {drive.path}: {error}') from error


def _transform(parent_from_child: Transform) -> rr.Transform3D:
    return rr.Transform3D(translation=parent_from_child[:3, 3], mat3x3=parent_from_child[:3, :3])


def _pinhole(image_from_camera: NDArray[np.float64], size: tuple[int, ...]) -> rr.Pinhole:
    """Return the projection into an image of that height and width."""
    height, width = size
    matrix = image_from_camera.copy()
    matrix[:2, 2] += 0.5  # the viewer counts from the corner of a pixel, we from its centre
    return rr.Pinhole(
        image_from_camera=matrix,
        resolution=(width, height),
        image_plane_distance=_IMAGE_PLANE_M,
    )
