"""Writes the drive of a dataset as a bag, the same for all datasets.

Topics: ``/tf_static``; ``/odometry`` and ``/tf`` at the stamps of the poses;
``/camera/<name>/camera_info`` and ``/camera/<name>/image/compressed`` (the files as they are);
``/lidar/points`` in the frame ``lidar``; ``/ground_truth/<name>/depth`` and
``/ground_truth/voxels`` where the dataset knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import Camera
from selfocc_core.datasets.dataset_drive import (
    CameraStream,
    DatasetDrive,
    PointFields,
    Stamped,
)
from selfocc_core.datasets.encoded_image import EncodedImage
from selfocc_core.datasets.voxel_truth import VoxelTruth
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.drive import EGO_FRAME
from selfocc_core.evaluation.truth import LIDAR_TOPIC, VOXELS_TOPIC
from selfocc_core.progress import track
from selfocc_core.transforms import Trajectory, Transform, invert

_WORLD_FRAME, _LIDAR_FRAME = 'odom', 'lidar'


@dataclass(frozen=True)
class _Entry:
    """A message that is made when it is written."""

    stamp_ns: int
    topic: str
    message: Callable[[], Any]


def write_drive(drive: DatasetDrive, out: Path) -> None:
    """Write a drive, with progress on stderr; nothing stands at ``out`` unless all is well.

    Args:
        drive: The drive.
        out: The bag, see ``BagWriter``.

    Raises:
        SelfOccError: A file of the dataset is missing or damaged, or the bag cannot be written.
    """
    entries = sorted(_entries(drive), key=lambda entry: entry.stamp_ns)
    first_ns = entries[0].stamp_ns
    try:
        with BagWriter(out) as bag:
            bag.write('/tf_static', _mounting(drive, first_ns), first_ns)
            for entry in track(entries, f'Writing {out.name}'):
                bag.write(entry.topic, entry.message(), entry.stamp_ns)
    except OSError as error:  # the files of the dataset have errors of their own
        raise SelfOccError(f'cannot write {out}: {error.strerror}') from error


def _mounting(drive: DatasetDrive, stamp_ns: int) -> Any:
    mounted: dict[str, Transform] = {
        stream.camera.frame_id: stream.camera.ego_from_camera for stream in drive.cameras
    }
    if drive.lidar is not None:
        mounted[_LIDAR_FRAME] = drive.lidar.ego_from_lidar
    return messages.tf_message(
        [
            messages.transform_stamped(EGO_FRAME, frame, ego_from_frame, stamp_ns)
            for frame, ego_from_frame in mounted.items()
        ]
    )


def _entries(drive: DatasetDrive) -> Iterator[_Entry]:
    """Yield all messages, of one stamp the poses first."""
    if drive.trajectory is not None:
        yield from _motion(drive.trajectory)
    for stream in drive.cameras:
        yield from _camera(stream)
    if drive.lidar is not None:
        for scan in drive.lidar.scans:
            yield _Entry(scan.stamp_ns, LIDAR_TOPIC, partial(_scan, scan))
    for truth in drive.voxels:
        yield _Entry(truth.stamp_ns, VOXELS_TOPIC, partial(_voxels, truth))


def _motion(trajectory: Trajectory) -> Iterator[_Entry]:
    """Yield the poses; velocities are the mean since the pose before, of the first until the next.

    A single pose tells no velocity: it is said to stand.
    """
    stamps_ns, poses = trajectory.stamps_ns.tolist(), trajectory.world_from_ego
    for index, stamp_ns in enumerate(stamps_ns):
        before, after = max(index - 1, 0), min(max(index, 1), len(stamps_ns) - 1)
        step = invert(poses[before]) @ poses[after]
        elapsed_s = (stamps_ns[after] - stamps_ns[before]) * 1e-9 or np.inf
        velocity_m_s = step[:3, :3].T @ step[:3, 3] / elapsed_s
        turn_rate_rad_s = Rotation.from_matrix(step[:3, :3]).as_rotvec() / elapsed_s
        link = messages.transform_stamped(_WORLD_FRAME, EGO_FRAME, poses[index], stamp_ns)
        odometry = messages.odometry(
            _WORLD_FRAME, poses[index], velocity_m_s.tolist(), turn_rate_rad_s.tolist(), stamp_ns
        )
        yield _Entry(stamp_ns, '/odometry', partial(_as_is, odometry))
        yield _Entry(stamp_ns, '/tf', partial(_as_is, messages.tf_message([link])))


def _as_is(message: Any) -> Any:
    return message


def _camera(stream: CameraStream) -> Iterator[_Entry]:
    camera = stream.camera
    topic = f'/camera/{camera.name}'
    for image in stream.images:
        info = partial(messages.camera_info, camera, image.stamp_ns)
        yield _Entry(image.stamp_ns, f'{topic}/camera_info', info)
        yield _Entry(image.stamp_ns, f'{topic}/image/compressed', partial(_image, camera, image))
    for depth in stream.depths:
        make = partial(_depth, camera, depth)
        yield _Entry(depth.stamp_ns, f'/ground_truth/{camera.name}/depth', make)


def _image(camera: Camera, image: Stamped[EncodedImage]) -> Any:
    encoded = image.read()
    header = messages.header(image.stamp_ns, camera.frame_id)
    compressed = messages.message_type('sensor_msgs/msg/CompressedImage')
    return compressed(header, encoded.format, encoded.data)


def _depth(camera: Camera, depth: Stamped[Any]) -> Any:
    return messages.raw_image(depth.read(), depth.stamp_ns, camera.frame_id)


def _scan(scan: Stamped[PointFields]) -> Any:
    fields = scan.read()
    measured = np.isfinite([fields[axis] for axis in 'xyz']).all(0)  # no return has no place
    kept = {name: values[measured] for name, values in fields.items()}
    return messages.point_cloud(kept, scan.stamp_ns, _LIDAR_FRAME)


def _voxels(truth: Stamped[VoxelTruth]) -> Any:
    return messages.point_cloud(truth.read().fields(), truth.stamp_ns, EGO_FRAME)
