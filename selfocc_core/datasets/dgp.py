"""Scenes in the layout of TRI's Dataset Governance Policy (DGP), such as DDAD.

Layout of a tree; paths in the tables are relative to the scene::

    000000/scene_<hash>.json         samples, and what each sensor took with the sensor's pose
    000000/calibration/<key>.json    intrinsics and extrinsics by name of the sensor
    000000/rgb/CAMERA_01/<stamp>.jpg
    000000/point_cloud/LIDAR/<stamp>.npz

The ego frame is that of the extrinsics: on the ground below the middle of the rear axle, x ahead,
y left, z up (an author's answer in TRI-ML/DDAD, issue 10). The pose of the vehicle at the stamp
of each sensor is that sensor's pose less its extrinsics; the world is that of the tables. Scans
are not compensated for motion. In some scenes all stamps are ten times too large, in the
25th century: these are divided by ten, which gives the 10 Hz of the recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import Camera, intrinsic_matrix
from selfocc_core.datasets.dataset_drive import CameraStream, DatasetDrive, LidarStream, Stamped
from selfocc_core.datasets.encoded_image import read_image_of
from selfocc_core.datasets.tree_files import file_in, read_json, read_npz_array
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Trajectory, Transform, invert, transform_from_quaternion

_KINDS = ('image', 'point_cloud')
_PINHOLE = ('fx', 'fy', 'cx', 'cy')
_TOO_LATE_US = 2**31 * 10**6  # stamps of ROS end in 2038

Row = Mapping[str, Any]


class Dgp:
    """A tree of scenes.

    Args:
        root: Folder with scenes, or one of a scene.

    Raises:
        SelfOccError: There is no scene in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        absolute = root.absolute()
        tables = (*absolute.glob('scene_*.json'), *absolute.glob('*/scene_*.json'))
        self._tables = {path.parent.name: path for path in sorted(tables) if _is_scene(path)}
        if not self._tables:
            raise SelfOccError(
                f'{root} is not a tree of DGP: it has no scene such as 000000/scene_<hash>.json'
            )

    @property
    def drive_names(self) -> Sequence[str]:
        """Names of the folders of the scenes."""
        return sorted(self._tables)

    def drive(self, name: str) -> DatasetDrive:
        """Return a scene.

        Raises:
            SelfOccError: A table or file is missing or malformed, or a camera is not rectified.
        """
        path = self._tables[name]
        with _malformed(path):
            return _read_scene(path, name)


def _is_scene(path: Path) -> bool:
    """Whether a table is that of a scene; the name of the table of all scenes begins alike."""
    return (path.parent / 'calibration').is_dir()


@contextmanager
def _malformed(path: Path) -> Iterator[None]:
    try:
        yield
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise SelfOccError(
            f'scene {path} is malformed ({type(error).__name__}: {error}): unpack it again'
        ) from error


@dataclass(frozen=True, eq=False)
class _Measurement:
    """What a sensor took at one moment: a row of the table."""

    sensor: str
    kind: str
    stamp_ns: int
    world_from_sensor: Transform
    content: Row


@dataclass(frozen=True, eq=False)
class _Calibration:
    """Where the sensors are, and how the cameras among them see."""

    ego_from_sensor: Mapping[str, Transform]
    intrinsics: Mapping[str, Row]


def _read_scene(path: Path, name: str) -> DatasetDrive:
    scene, remarks = read_json(path, 'scene'), list[str]()
    calibration = _read_calibration(path.parent, scene)
    measured = _measurements(scene, remarks)
    sensors: dict[str, list[_Measurement]] = {}
    for measurement in measured:
        sensors.setdefault(measurement.sensor, []).append(measurement)
    files = {s: _files(path.parent, rows, remarks) for s, rows in sorted(sensors.items())}
    cameras = tuple(
        _camera(calibration, sensors[s], files[s])
        for s in files
        if sensors[s][0].kind == 'image' and files[s]
    )
    lidar = _lidar(calibration, sensors, files, remarks)
    trajectory = _trajectory(calibration, measured)
    return DatasetDrive(name, cameras, lidar, trajectory, remarks=tuple(remarks))


def _read_calibration(folder: Path, scene: Row) -> _Calibration:
    keys = sorted({str(sample['calibration_key']) for sample in scene['samples']})
    if len(keys) != 1:
        raise SelfOccError(
            f'scene {folder} has {len(keys)} calibrations: only scenes with one can be written'
        )
    path = file_in(folder, f'calibration/{keys[0]}.json')
    if path is None:
        raise SelfOccError(f'calibration {keys[0]}.json is not in {folder}: unpack it again')
    with _malformed(path):
        table = read_json(path, 'calibration')
        extrinsics = zip(table['names'], table['extrinsics'], strict=True)
        return _Calibration(
            {str(name): _pose(row) for name, row in extrinsics},
            dict(zip(map(str, table['names']), table['intrinsics'], strict=True)),
        )


def _pose(row: Row) -> Transform:
    t, q = row['translation'], row['rotation']
    return transform_from_quaternion(
        [t[axis] for axis in 'xyz'], [q[f'q{axis}'] for axis in 'xyzw']
    )


def _measurements(scene: Row, remarks: list[str]) -> list[_Measurement]:
    """Return images and scans in order of time."""
    rows = [row for row in scene['data'] if _kind(row)]
    if not rows:
        raise ValueError('no images and no scans')
    stamps_us = [_stamp_us(row['id']['timestamp']) for row in rows]
    are_large = min(stamps_us) >= _TOO_LATE_US
    if are_large:
        remarks.append(
            f'the stamps begin in {str(rows[0]["id"]["timestamp"])[:4]}, ten times too large: '
            'they are divided by ten'
        )
    measured = [
        _Measurement(
            sensor=str(row['id']['name']),
            kind=_kind(row),
            stamp_ns=stamp_us * (100 if are_large else 1000),
            world_from_sensor=_pose(row['datum'][_kind(row)]['pose']),
            content=row['datum'][_kind(row)],
        )
        for row, stamp_us in zip(rows, stamps_us, strict=True)
    ]
    return sorted(measured, key=lambda measurement: measurement.stamp_ns)


def _kind(row: Row) -> str:
    """Return what a datum is, nothing for what is not read."""
    return next((kind for kind in _KINDS if kind in row['datum']), '')


def _stamp_us(text: str) -> int:
    """Return the stamp of a date in UTC; nanoseconds would not reach to the 25th century."""
    return int(np.datetime64(text.removesuffix('Z'), 'us').astype(np.int64))


def _files(
    folder: Path, rows: Sequence[_Measurement], remarks: list[str]
) -> list[tuple[int, Path]]:
    """Return stamp and file of what a sensor took; nothing if none of it is unpacked.

    Raises:
        SelfOccError: Some of it is unpacked.
    """
    names = [str(row.content['filename']) for row in rows]
    found = [file_in(folder, name) for name in names]
    if not any(found):
        remarks.append(f'no files of {rows[0].sensor} in this scene: the bag has none')
        return []
    files = []
    for row, name, path in zip(rows, names, found, strict=True):
        if path is None:
            raise SelfOccError(f'file {name} is not in {folder}: unpack the scene again')
        files.append((row.stamp_ns, path))
    return files


def _camera(
    calibration: _Calibration, rows: Sequence[_Measurement], files: Sequence[tuple[int, Path]]
) -> CameraStream:
    sensor, content = rows[0].sensor, rows[0].content
    intrinsics = calibration.intrinsics[sensor]
    bent = [name for name, value in intrinsics.items() if name not in _PINHOLE and value]
    if bent:
        raise SelfOccError(
            f'camera "{sensor}" has the parameter {bent[0]} of a lens: only scenes with '
            'rectified images can be written'
        )
    name = sensor.lower()
    camera = Camera(
        name=name,
        frame_id=f'{name}_optical_frame',
        width=int(content['width']),
        height=int(content['height']),
        image_from_camera=intrinsic_matrix(*(float(intrinsics[p]) for p in _PINHOLE)),
        ego_from_camera=calibration.ego_from_sensor[sensor],
    )
    return CameraStream(
        camera, [Stamped(ns, partial(read_image_of, camera, path)) for ns, path in files]
    )


def _lidar(
    calibration: _Calibration,
    sensors: Mapping[str, Sequence[_Measurement]],
    files: Mapping[str, Sequence[tuple[int, Path]]],
    remarks: list[str],
) -> LidarStream | None:
    names = [s for s in files if sensors[s][0].kind == 'point_cloud' and files[s]]
    if not names:
        if all(rows[0].kind == 'image' for rows in sensors.values()):
            remarks.append('no LiDAR in this scene: the bag has none')
        return None
    if len(names) > 1:
        remarks.append(f'of several LiDARs only {names[0]} is in the bag')
    scans = []
    for row, (stamp_ns, path) in zip(sensors[names[0]], files[names[0]], strict=True):
        columns = tuple(str(column).lower() for column in row.content['point_format'])
        scans.append(Stamped(stamp_ns, partial(read_point_cloud, path, columns)))
    return LidarStream(calibration.ego_from_sensor[names[0]], scans)


def read_point_cloud(path: Path, columns: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Return the points of a scan: x, y, z ``[P]`` in the LiDAR's frame, intensity if it is there.

    Args:
        path: A ``.npz`` with the array ``data`` ``[P, C]``.
        columns: What its columns are.

    Raises:
        SelfOccError: The file is missing or damaged, or has other columns.
    """
    points = read_npz_array(path, 'data', 'scan')
    is_table = points.ndim == 2 and points.dtype.kind == 'f' and len(columns) == points.shape[-1]
    if not is_table or not {'x', 'y', 'z'} <= set(columns):
        raise SelfOccError(
            f'scan {path} has an array of {points.dtype} {points.shape}, not the columns '
            f'{", ".join(columns)}: unpack the scene again'
        )
    return {
        name: points[:, columns.index(name)].astype(np.float32)
        for name in ('x', 'y', 'z', 'intensity')
        if name in columns
    }


def _trajectory(calibration: _Calibration, measured: Sequence[_Measurement]) -> Trajectory:
    """Return where the vehicle was; of sensors with the same stamp the first counts."""
    poses: dict[int, Transform] = {}
    for row in measured:
        pose = row.world_from_sensor @ invert(calibration.ego_from_sensor[row.sensor])
        poses.setdefault(row.stamp_ns, pose)
    return Trajectory(np.array([*poses], np.int64), np.stack([*poses.values()]))
