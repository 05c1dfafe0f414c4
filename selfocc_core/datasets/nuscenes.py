"""Scenes of nuScenes.

LiDAR, sweeps and the voxels of Occ3D (``gts``) may be missing from the tree; annotations and
attributes are not read.

The ego frame is that of the dataset: on the ground below the middle of the rear axle, x ahead, y
left, z up (the developers' answer in nutonomy/nuscenes-devkit, issue 997). The pose of the
vehicle is known at the stamp of every image and scan; the world is the dataset's map. Scans are
in the frame of the LiDAR at their own stamp and not compensated for motion. Voxels are moved from
the stamp of the LiDAR to that of the front camera, at which a prediction holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.datasets.dataset_drive import CameraStream, DatasetDrive, LidarStream, Stamped
from selfocc_core.datasets.drive_writer import write_drive
from selfocc_core.datasets.encoded_image import read_image_of
from selfocc_core.datasets.nuscenes_tables import (
    NuScenesTables,
    Row,
    camera_name,
    camera_of,
    find_scene,
    pose_of,
    read_tables,
    stamp_ns_of,
)
from selfocc_core.datasets.occ3d import read_occ3d
from selfocc_core.datasets.tree_files import file_in, read_records
from selfocc_core.datasets.voxel_truth import VoxelTruth
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Trajectory, Transform, invert

_CAMERA, _LIDAR = 'CAM_', 'LIDAR_TOP'
_LIDAR_COLUMNS = 5  # x, y, z, intensity, ring


class NuScenes:
    """A tree of scenes.

    Args:
        root: Folder that holds ``samples`` and ``v1.0-*``.

    Raises:
        SelfOccError: There is no version folder, or a table is missing or malformed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tables = read_tables(root)

    @property
    def drive_names(self) -> Sequence[str]:
        """Names such as ``scene-0061``."""
        with _malformed(self.root):
            return sorted(str(row['name']) for row in self._tables.rows['scene'].values())

    def drive(self, name: str) -> DatasetDrive:
        """Return a scene with all its sweeps that are unpacked.

        Raises:
            SelfOccError: A file is missing or malformed.
        """
        return read_drive(self._tables, name)


def write_bag(root: Path, out: Path, scene: str | None = None) -> None:
    """Write the keyframes of a scene as a bag.

    Args:
        root: The nuScenes tree.
        out: The bag to write, see ``BagWriter``.
        scene: Name of the scene; the first of the tree by default.

    Raises:
        SelfOccError: A table or file is missing or malformed, or there is no such scene.
    """
    write_drive(read_drive(read_tables(root), scene, keyframes_only=True), out)


def read_drive(
    tables: NuScenesTables, scene: str | None, keyframes_only: bool = False
) -> DatasetDrive:
    """Return a scene as a drive; the poses are those of all its rows, sweeps included.

    Args:
        tables: The tables of the tree.
        scene: Name of the scene, the first without one.
        keyframes_only: Leave out the images and scans of sweeps.

    Raises:
        SelfOccError: A row or file is missing or malformed, or there is no such scene.
    """
    with _malformed(tables.root):
        return _SceneReading(tables, find_scene(tables, scene), keyframes_only).drive()


@contextmanager
def _malformed(root: Path) -> Iterator[None]:
    try:
        yield
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise SelfOccError(
            f'the nuScenes tables in {root} are malformed ({type(error).__name__}: {error}): '
            'unpack the tree again'
        ) from error


class _SceneReading:
    """A pass over the rows of a scene that keeps account of what is not there."""

    def __init__(self, tables: NuScenesTables, scene: Row, keyframes_only: bool) -> None:
        self._tables, self._keyframes_only = tables, keyframes_only
        self._name = str(scene['name'])
        self._samples: Mapping[str, Row] = {
            token: row
            for token, row in tables.rows['sample'].items()
            if row['scene_token'] == scene['token']
        }
        self._rows = self._rows_by_channel()
        self._trajectory = self._read_trajectory()
        self._remarks: list[str] = []

    def drive(self) -> DatasetDrive:
        channels = sorted((c for c in self._rows if c != _LIDAR), key=_place)
        streams = (self._camera(self._rows[channel]) for channel in channels)
        cameras = tuple(stream for stream in streams if stream.images)
        lidar = self._lidar(self._rows.get(_LIDAR, []))
        voxels = self._voxels(self._rows[channels[0]]) if channels else []
        return DatasetDrive(
            self._name, cameras, lidar, self._trajectory, voxels, tuple(self._remarks)
        )

    def _rows_by_channel(self) -> dict[str, list[Row]]:
        """Return the rows of cameras and LiDAR, sweeps included, in order of time."""
        rows = self._tables.rows['sample_data'].values()
        found: dict[str, list[Row]] = {}
        for row in sorted(
            (r for r in rows if r['sample_token'] in self._samples), key=stamp_ns_of
        ):
            channel = self._tables.channel(row)
            if channel.startswith(_CAMERA) or channel == _LIDAR:
                found.setdefault(channel, []).append(row)
        if not found:
            raise SelfOccError(
                f'nuScenes scene "{self._name}" in {self._tables.root} has no camera data: '
                'unpack the tree again'
            )
        return found

    def _read_trajectory(self) -> Trajectory:
        poses: dict[int, Transform] = {}
        for rows in self._rows.values():
            for row in rows:
                pose = pose_of(self._tables.get('ego_pose', row['ego_pose_token']))
                poses.setdefault(stamp_ns_of(row), pose)
        stamps_ns = sorted(poses)
        return Trajectory(
            np.array(stamps_ns, np.int64), np.stack([poses[stamp_ns] for stamp_ns in stamps_ns])
        )

    def _files(self, rows: Sequence[Row]) -> list[tuple[int, Path]]:
        """Return stamp and file of each row that counts; every keyframe has to be there."""
        files, absent = [], 0
        for row in rows:
            if row['is_key_frame']:
                files.append((stamp_ns_of(row), self._tables.file(row)))
            elif not self._keyframes_only:
                path = file_in(self._tables.root, str(row['filename']))
                absent += path is None
                files += [] if path is None else [(stamp_ns_of(row), path)]
        if absent:
            channel = self._tables.channel(rows[0])
            self._remarks.append(f'{absent} sweeps of {channel} are not unpacked, nor in the bag')
        return files

    def _camera(self, rows: Sequence[Row]) -> CameraStream:
        camera = camera_of(self._tables, rows[0], camera_name(self._tables.channel(rows[0])))
        images = [Stamped(ns, partial(read_image_of, camera, p)) for ns, p in self._files(rows)]
        return CameraStream(camera, images)

    def _lidar(self, rows: Sequence[Row]) -> LidarStream | None:
        if not any(file_in(self._tables.root, str(row['filename'])) for row in rows):
            self._remarks.append('no LiDAR in this tree: the bag has none')
            return None
        mounting = self._tables.get('calibrated_sensor', rows[0]['calibrated_sensor_token'])
        scans = [Stamped(ns, partial(read_scan, path)) for ns, path in self._files(rows)]
        return LidarStream(pose_of(mounting), scans)

    def _voxels(self, front_rows: Sequence[Row]) -> list[Stamped[VoxelTruth]]:
        voxels = []
        keyframes = [row for row in front_rows if row['is_key_frame']]
        for row in keyframes:
            token = str(row['sample_token'])
            path = file_in(self._tables.root, f'gts/{self._name}/{token}/labels.npz')
            if path is not None:
                front_ns, lidar_ns = stamp_ns_of(row), stamp_ns_of(self._samples[token])
                front_from_lidar = self._motion(front_ns, lidar_ns)
                voxels.append(Stamped(front_ns, partial(_read_voxels, path, front_from_lidar)))
        if not voxels:
            self._remarks.append('no voxels of Occ3D (gts) for this scene: the bag has none')
        elif len(voxels) < len(keyframes):
            self._remarks.append(
                f'voxels (gts) of {len(voxels)} of {len(keyframes)} samples: the bag has no others'
            )
        return voxels

    def _motion(self, target_ns: int, source_ns: int) -> Transform:
        """Return ``ego_at_target_from_ego_at_source``."""
        return invert(self._trajectory.at(target_ns)) @ self._trajectory.at(source_ns)


def _place(channel: str) -> tuple[int, str]:
    """Return a key that sorts the channels of cameras as the usual rig has them, then others."""
    usual, name = nuscenes_like_rig().names, camera_name(channel)
    return (usual.index(name) if name in usual else len(usual)), name


def read_scan(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the points of a scan: x, y, z and intensity ``[P]`` in the frame of the LiDAR.

    Raises:
        SelfOccError: The file is missing or truncated.
    """
    points = read_records(path, np.float32, _LIDAR_COLUMNS, 'nuScenes point cloud')
    return dict(zip(('x', 'y', 'z', 'intensity'), points.T[:4], strict=True))


def _read_voxels(path: Path, front_from_lidar: Transform) -> VoxelTruth:
    """Read voxels and move them from the ego frame of the LiDAR's stamp to that of the front's."""
    return read_occ3d(path).moved(front_from_lidar)
