"""A nuScenes tree as a recorded drive, read without the nuScenes development kit.

Only the tables that a drive needs are read: scene, sample, sample_data, calibrated_sensor, sensor
and ego_pose. Sweeps, annotations and attributes may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import Camera, Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Transform, invert, transform_from_quaternion

EGO_FRAME, WORLD_FRAME, LIDAR_FRAME = 'base_link', 'odom', 'lidar'
LIDAR_CHANNEL = 'LIDAR_TOP'

_TABLES = ('scene', 'sample', 'sample_data', 'calibrated_sensor', 'sensor', 'ego_pose')
_MAX_TABLE_BYTES = 4 * 2**30
_LIDAR_COLUMNS = 5  # x, y, z, intensity, ring

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
        path = (self.root / str(data['filename'])).resolve()
        if not path.is_relative_to(self.root.resolve()) or not path.is_file():
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
    return NuScenesTables(root, {name: _read_table(versions[0], name) for name in _TABLES})


def _read_table(folder: Path, name: str) -> dict[str, Row]:
    path = folder / f'{name}.json'
    if not path.is_file():
        raise SelfOccError(f'nuScenes table {path} is missing: unpack the tree again')
    if path.stat().st_size > _MAX_TABLE_BYTES:
        raise SelfOccError(f'nuScenes table {path} is larger than 4 GiB: is it the right file?')
    try:
        return {row['token']: row for row in json.loads(path.read_bytes())}
    except (ValueError, TypeError, KeyError) as error:
        raise SelfOccError(f'nuScenes table {path} is malformed: unpack the tree again') from error


def write_bag(root: Path, out: Path, scene: str | None = None) -> None:
    """Write the samples of a scene as a recorded drive.

    The images go in as they are (JPEG); odometry has the ego pose of every sensor at its own time.

    Args:
        root: The nuScenes tree.
        out: The bag to write, see ``BagWriter``.
        scene: Name of the scene; the first of the tree by default.

    Raises:
        SelfOccError: A table or file is missing or malformed, or there is no such scene.
    """
    tables = read_tables(root)
    try:
        data = _data_of_scene(tables, find_scene(tables, scene))
        samples = [row for row in data if row['is_key_frame']]
        rig, ego_from_lidar = _rig(tables, samples), _lidar_mounting(tables, samples)
        with BagWriter(out) as bag:
            _write_mounting(bag, rig, ego_from_lidar, stamp_ns_of(data[0]))
            _write_motion(bag, tables, data)
            for row in samples:
                _write_sample(bag, tables, row, rig)
    except (KeyError, ValueError, TypeError) as error:
        raise SelfOccError(
            f'the nuScenes tables in {root} are malformed ({type(error).__name__}: {error}): '
            'unpack the tree again'
        ) from error


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


def _data_of_scene(tables: NuScenesTables, scene: Row) -> list[Row]:
    """Return the rows of cameras and LiDAR in the scene, sweeps included, in order of time."""
    samples = {
        token
        for token, row in tables.rows['sample'].items()
        if row['scene_token'] == scene['token']
    }
    rows = [
        row
        for row in tables.rows['sample_data'].values()
        if row['sample_token'] in samples and _is_used(tables.channel(row))
    ]
    if not rows:
        raise SelfOccError(
            f'nuScenes scene "{scene["name"]}" in {tables.root} has no camera data: '
            'unpack the tree again'
        )
    return sorted(rows, key=stamp_ns_of)


def _is_used(channel: str) -> bool:
    return channel.startswith('CAM_') or channel == LIDAR_CHANNEL


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


def _rig(tables: NuScenesTables, samples: list[Row]) -> Rig:
    cameras: dict[str, Camera] = {}
    for row in samples:
        channel = tables.channel(row)
        if channel.startswith('CAM_') and channel not in cameras:
            cameras[channel] = camera_of(tables, row, camera_name(channel))
    return Rig(tuple(cameras.values()))


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


def _lidar_mounting(tables: NuScenesTables, samples: list[Row]) -> Transform | None:
    for row in samples:
        if tables.channel(row) == LIDAR_CHANNEL:
            return pose_of(tables.get('calibrated_sensor', row['calibrated_sensor_token']))
    return None


def _write_mounting(
    bag: BagWriter, rig: Rig, ego_from_lidar: Transform | None, stamp_ns: int
) -> None:
    mounted = {camera.frame_id: camera.ego_from_camera for camera in rig}
    if ego_from_lidar is not None:
        mounted[LIDAR_FRAME] = ego_from_lidar
    links = [
        messages.transform_stamped(EGO_FRAME, frame, ego_from_frame, stamp_ns)
        for frame, ego_from_frame in mounted.items()
    ]
    bag.write('/tf_static', messages.tf_message(links), stamp_ns)


def _write_motion(bag: BagWriter, tables: NuScenesTables, data: list[Row]) -> None:
    for stamp_ns, world_from_ego, velocity_m_s in _motion(tables, data):
        odometry = messages.odometry(
            WORLD_FRAME, world_from_ego, velocity_m_s, (0.0, 0.0, 0.0), stamp_ns
        )
        link = messages.transform_stamped(WORLD_FRAME, EGO_FRAME, world_from_ego, stamp_ns)
        bag.write('/odometry', odometry, stamp_ns)
        bag.write('/tf', messages.tf_message([link]), stamp_ns)


def _motion(
    tables: NuScenesTables, data: list[Row]
) -> Iterator[tuple[int, Transform, list[float]]]:
    """Yield stamp, ``world_from_ego`` and the velocity in the ego frame since the pose before."""
    poses = {
        stamp_ns_of(row): pose_of(tables.get('ego_pose', row['ego_pose_token'])) for row in data
    }
    before_ns, before = next(iter(poses.items()))
    for stamp_ns, pose in poses.items():
        elapsed_s = (stamp_ns - before_ns) * 1e-9
        step_m = -(invert(pose) @ before)[:3, 3]
        velocity_m_s = step_m / elapsed_s if elapsed_s else np.zeros(3)
        yield stamp_ns, pose, velocity_m_s.tolist()
        before_ns, before = stamp_ns, pose


def _write_sample(bag: BagWriter, tables: NuScenesTables, row: Row, rig: Rig) -> None:
    channel, stamp_ns, path = tables.channel(row), stamp_ns_of(row), tables.file(row)
    if channel == LIDAR_CHANNEL:
        bag.write('/lidar/points', _lidar_cloud(path, stamp_ns), stamp_ns)
        return
    camera = rig[camera_name(channel)]
    compressed = messages.message_type('sensor_msgs/msg/CompressedImage')(
        messages.header(stamp_ns, camera.frame_id),
        'jpeg',
        np.fromfile(path, np.uint8),
    )
    topic = f'/camera/{camera.name}'
    bag.write(f'{topic}/image/compressed', compressed, stamp_ns)
    bag.write(f'{topic}/camera_info', messages.camera_info(camera, stamp_ns), stamp_ns)


def _lidar_cloud(path: Path, stamp_ns: int) -> Any:
    values = np.fromfile(path, np.float32)
    if values.size % _LIDAR_COLUMNS:
        raise SelfOccError(f'nuScenes point cloud {path} is truncated: unpack the tree again')
    columns = dict(zip(('x', 'y', 'z', 'intensity'), values.reshape(-1, 5).T[:4], strict=True))
    return messages.point_cloud(columns, stamp_ns, LIDAR_FRAME)
