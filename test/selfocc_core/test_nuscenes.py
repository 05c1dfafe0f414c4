from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagReader
from selfocc_core.datasets.nuscenes import write_bag
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.depth import flat_ground_depth
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.truth import depth_truths
from selfocc_core.voxels import VoxelGrid

REAL = Path(__file__).resolve().parents[2] / '../shared/data/real/nuscenes'
TIME_US = 1_532_402_927_600_000


def write_tree(root: Path) -> Path:
    """Write a tree of one sample: one camera (plus a sweep), one LiDAR, driving along x."""
    jpeg = messages.compressed_image(np.full((9, 16, 3), 80, np.uint8), 0, '').data
    (root / 'samples').mkdir(parents=True)
    (root / 'samples' / 'front.jpg').write_bytes(jpeg.tobytes())
    np.arange(10, dtype=np.float32).tofile(root / 'samples' / 'lidar.bin')
    k = [[10.0, 0, 8], [0, 10.0, 4.5], [0, 0, 1]]
    data = [
        ('front.jpg', 0, True, 'camera'), ('front.jpg', 83_000, False, 'camera'),
        ('lidar.bin', 40_000, True, 'lidar'),
    ]  # fmt: skip
    write_tables(
        root / 'v1.0-mini',
        scene=[{'token': 's', 'name': 'scene-0001'}],
        sample=[{'token': 'a', 'scene_token': 's'}],
        sensor=[
            {'token': 'camera', 'channel': 'CAM_FRONT'},
            {'token': 'lidar', 'channel': 'LIDAR_TOP'},
        ],
        calibrated_sensor=[
            {
                'token': name,
                'sensor_token': name,
                'translation': [1.5, 0, 1.5],
                'rotation': [0.5, -0.5, 0.5, -0.5] if name == 'camera' else [1, 0, 0, 0],
                'camera_intrinsic': k if name == 'camera' else [],
            }
            for name in ('camera', 'lidar')
        ],
        ego_pose=[
            {'token': str(late), 'rotation': [1, 0, 0, 0], 'translation': [late * 1e-5, 2, 0]}
            for _, late, _, _ in data
        ],
        sample_data=[
            {
                'token': f'd{index}',
                'sample_token': 'a',
                'ego_pose_token': str(late),
                'calibrated_sensor_token': sensor,
                'timestamp': TIME_US + late,
                'is_key_frame': is_key,
                'width': 16,
                'height': 9,
                'filename': f'samples/{name}',
            }
            for index, (name, late, is_key, sensor) in enumerate(data)
        ],
    )
    return root


def write_tables(folder: Path, **tables) -> None:
    folder.mkdir(exist_ok=True)
    for name, rows in tables.items():
        (folder / f'{name}.json').write_text(json.dumps(rows))


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / 'tree')


def test_a_sample_becomes_a_drive(tree, tmp_path):
    write_bag(tree, tmp_path / 'd.mcap')
    drive = read_drive(tmp_path / 'd.mcap')
    assert drive.rig.names == ('front',)
    assert drive.rig['front'].image_from_camera[0].tolist() == [10, 0, 8]
    with BagReader(drive.path) as bag:
        assert bag.count(['/camera/front/image/compressed']) == 1  # the sweep stays out
        assert bag.count(['/odometry']) == 3  # but its ego pose is known
        image = next(bag.messages(['/camera/front/image/compressed'])).decode()
        cloud = next(bag.messages(['/lidar/points'])).decode()
    assert image.data.tobytes() == (tree / 'samples' / 'front.jpg').read_bytes()
    assert messages.stamp_ns_of(image) == TIME_US * 1000
    assert messages.xyz(messages.decode_point_cloud(cloud)).tolist() == [[0, 1, 2], [5, 6, 7]]
    assert drive.trajectory.at((TIME_US + 40_000) * 1000)[0, 3] == pytest.approx(0.4)


def test_the_velocity_is_that_of_the_poses(tree, tmp_path):
    write_bag(tree, tmp_path / 'd.mcap')
    with BagReader(tmp_path / 'd.mcap') as bag:
        speeds = [m.decode().twist.twist.linear.x for m in bag.messages(['/odometry'])]
    assert speeds[1:] == pytest.approx([10.0, 10.0])


@pytest.mark.parametrize(
    'table', ['scene', 'sample', 'sample_data', 'calibrated_sensor', 'sensor', 'ego_pose']
)
@pytest.mark.parametrize('damage', ['missing', 'truncated', 'list', 'empty'])
def test_a_damaged_table_is_named_and_nothing_is_written(tree, tmp_path, table, damage):
    path = tree / 'v1.0-mini' / f'{table}.json'
    if damage == 'missing':
        path.unlink()
    else:
        path.write_text({'truncated': '[{"token": "a', 'list': '[3]', 'empty': '[]'}[damage])
    with pytest.raises(SelfOccError, match='nuScenes') as caught:
        write_bag(tree, tmp_path / 'out' / 'd.mcap')
    assert '\n' not in str(caught.value)
    if damage != 'empty':
        assert f'{table}.json' in str(caught.value)
    assert not (tmp_path / 'out').exists() or not list((tmp_path / 'out').iterdir())


def test_a_row_without_a_field_is_one_sentence(tree, tmp_path):
    path = tree / 'v1.0-mini' / 'ego_pose.json'
    path.write_text(json.dumps([{'token': row['token']} for row in json.loads(path.read_text())]))
    with pytest.raises(SelfOccError, match='malformed'):
        write_bag(tree, tmp_path / 'd.mcap')
    assert not (tmp_path / 'd.mcap').exists()


def test_missing_files_folders_and_scenes_are_named(tree, tmp_path):
    with pytest.raises(SelfOccError, match='is not a nuScenes tree'):
        write_bag(tmp_path, tmp_path / 'd.mcap')
    with pytest.raises(SelfOccError, match='no scene "scene-9": it has scene-0001'):
        write_bag(tree, tmp_path / 'd.mcap', scene='scene-9')
    (tree / 'samples' / 'lidar.bin').write_bytes(b'123456')
    with pytest.raises(SelfOccError, match=r'lidar\.bin is truncated'):
        write_bag(tree, tmp_path / 'd.mcap')
    (tree / 'samples' / 'front.jpg').unlink()
    with pytest.raises(SelfOccError, match=r'samples/front\.jpg is not in'):
        write_bag(tree, tmp_path / 'd.mcap')


def test_a_tree_cannot_point_outside_itself(tree, tmp_path):
    (tmp_path / 'secret.jpg').write_bytes(b'secret')
    path = tree / 'v1.0-mini' / 'sample_data.json'
    path.write_text(path.read_text().replace('samples/front.jpg', '../secret.jpg'))
    with pytest.raises(SelfOccError, match='is not in'):
        write_bag(tree, tmp_path / 'd.mcap')


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason='needs ../shared/data/real/nuscenes')
def test_lidar_lands_on_the_real_road(tmp_path):
    """With the right calibration and motion, the lowest points in view lie on the ground."""
    write_bag(REAL, tmp_path / 'd.mcap')
    drive = read_drive(tmp_path / 'd.mcap')
    assert len(drive.rig) == 6
    with BagReader(drive.path) as bag:
        images = [f'/camera/{name}/image/compressed' for name in drive.rig.names]
        keys = [
            (m.topic.split('/')[2], messages.stamp_ns_of(m.decode())) for m in bag.messages(images)
        ]
    grid = VoxelGrid((-40.0, -40.0, -2.0), (40.0, 40.0, 5.0), (8, 8, 8))
    truths = {truth.camera: truth for truth in depth_truths(drive, keys)}
    assert len(truths) == 6
    for name in ('front', 'back', 'front_right'):
        points, camera = truths[name].points, drive.rig[name]
        rows = points[:, 1] / points[:, 2]
        road = points[rows > 0.28]
        assert len(road) > 50
        guess = flat_ground_depth(road, camera.ego_from_camera, grid)
        assert np.median(np.abs(guess / road[:, 2] - 1)) < 0.05
