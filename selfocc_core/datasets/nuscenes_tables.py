"""The tables of a nuScenes tree, read without the nuScenes development kit.

Only those that a drive needs are read: scene, sample, sample_data, calibrated_sensor, sensor and
ego_pose.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selfocc_core.cameras import Camera
from selfocc_core.datasets.tree_files import file_in
from selfocc_core.errors import SelfOccError
from selfocc_core.progress import track
from selfocc_core.transforms import Transform, transform_from_quaternion

_TABLES = ('scene', 'sample', 'sample_data', 'calibrated_sensor', 'sensor', 'ego_pose')
_MAX_TABLE_BYTES = 4 * 2**30

Row = Mapping[str, Any]


@dataclass(frozen=True)
class NuScenesTables:
    """The JSON tables of a tree.

    Attributes:
        root: Folder that holds ``samples`` and ``v1.0-*``.
        rows: Rows by token, by table.
    """

    root: Path
    rows: Mapping[str, Mapping[str, Row]]

    def get(self, table: str, token: str) -> Row:
        """Return a row.

        Raises:
            SelfOccError: The table has no such row.
        """
        if token not in self.rows[table]:
            raise SelfOccError(
                f'nuScenes table {table}.json in {self.root} has no row "{token}": the tree is '
                'incomplete, unpack it again'
            )
        return self.rows[table][token]

    def channel(self, data: Row) -> str:
        """Return the channel of a row of sample_data, for example ``CAM_FRONT``."""
        calibrated = self.get('calibrated_sensor', data['calibrated_sensor_token'])
        return str(self.get('sensor', calibrated['sensor_token'])['channel'])

    def file(self, data: Row) -> Path:
        """Return the path of a row of sample_data.

        Raises:
            SelfOccError: The file is missing or outside the tree.
        """
        path = file_in(self.root, str(data['filename']))
        if path is None:
            raise SelfOccError(
                f'nuScenes file {data["filename"]} is not in {self.root}: unpack the tree again'
            )
        return path


def read_tables(root: Path) -> NuScenesTables:
    """Read the tables of the version folder in a tree.

    Raises:
        SelfOccError: There is no version folder, or a table is missing or malformed.
    """
    versions = sorted(path for path in root.glob('v1.0-*') if path.is_dir())
    if not versions:
        raise SelfOccError(
            f'{root} is not a nuScenes tree: it has no folder v1.0-mini, v1.0-trainval or '
            'v1.0-test'
        )
    names = track(_TABLES, 'Reading tables')  # those of all scenes have millions of rows
    return NuScenesTables(root, {name: _read_table(versions[0], name) for name in names})


def _read_table(folder: Path, name: str) -> dict[str, Row]:
    path = folder / f'{name}.json'
    if not path.is_file():
        raise SelfOccError(f'nuScenes table {path} is missing: unpack the tree again')
    if path.stat().st_size > _MAX_TABLE_BYTES:
        raise SelfOccError(f'nuScenes table {path} is larger than 4 GiB: is it the right file?')
    try:
        return {row['token']: row for row in json.loads(path.read_bytes())}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SelfOccError(f'nuScenes table {path} is malformed: unpack the tree again') from error


def find_scene(tables: NuScenesTables, name: str | None) -> Row:
    """Return the scene of a name, the first without one.

    Raises:
        SelfOccError: There is no such scene.
    """
    scenes = {row['name']: row for row in tables.rows['scene'].values()}
    if not scenes:
        raise SelfOccError(f'the nuScenes tree {tables.root} has no scene: unpack it again')
    if name is None:
        return next(iter(scenes.values()))
    if name not in scenes:
        raise SelfOccError(
            f'the nuScenes tree {tables.root} has no scene "{name}": it has '
            f'{", ".join(sorted(scenes)[:20])}'
        )
    return scenes[name]


def stamp_ns_of(row: Row) -> int:
    """Return the stamp of a row of sample_data."""
    return int(row['timestamp']) * 1000  # nuScenes counts microseconds


def camera_name(channel: str) -> str:
    """Return our name of a camera, for example ``front_left`` of ``CAM_FRONT_LEFT``."""
    return channel.removeprefix('CAM_').lower()


def pose_of(row: Row) -> Transform:
    """Return ``world_from_ego`` of a row of ego_pose, or ``ego_from_sensor`` of its sensor."""
    w, x, y, z = row['rotation']
    return transform_from_quaternion(row['translation'], (x, y, z, w))


def camera_of(tables: NuScenesTables, row: Row, name: str) -> Camera:
    """Return the calibrated camera that took the image of a row of sample_data."""
    calibrated = tables.get('calibrated_sensor', row['calibrated_sensor_token'])
    return Camera(
        name=name,
        frame_id=f'camera_{name}_optical_frame',
        width=int(row['width']),
        height=int(row['height']),
        image_from_camera=np.array(calibrated['camera_intrinsic'], np.float64).reshape(3, 3),
        ego_from_camera=pose_of(calibrated),
    )
