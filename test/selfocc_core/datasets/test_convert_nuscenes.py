from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from converted import check_stamps, cloud_in_image, convert, counts, decoded, project, refused
from hostile import ended_well_or_in_one_sentence, hostile_variants
from small_trees import (
    LIDAR_LATE_US,
    NUSCENES_US,
    PROJECTION,
    SCAN,
    SPEED_M_S,
    write_image,
    write_nuscenes,
    write_occ3d,
)

from selfocc_core.datasets.dataset_drive import find_drive
from selfocc_core.datasets.drive_writer import write_drive
from selfocc_core.datasets.nuscenes import NuScenes, write_bag
from selfocc_core.datasets.occ3d import GRID
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.truth import occupancy_truths
from selfocc_core.semantics import CLASS_NAMES

FREE, CAR, ROAD = 17, 4, 11


@pytest.fixture
def root(tmp_path):
    return write_nuscenes(tmp_path / 'tree')


def test_keyframes_and_sweeps_are_in_the_bag(root, tmp_path):
    bag = convert('nuscenes', root, tmp_path / 'd.mcap')
    check_stamps(bag)
    assert counts(bag) == {
        '/camera/front/camera_info': 3, '/camera/front/image/compressed': 3,
        '/lidar/points': 2, '/odometry': 5, '/tf': 5, '/tf_static': 1,
    }  # fmt: skip
    trajectory = read_drive(bag).trajectory
    assert trajectory.stamps_ns.tolist() == [
        1000 * (NUSCENES_US + us) for us in (0, 40_000, 250_000, 500_000, 540_000)
    ]
    np.testing.assert_allclose(
        trajectory.world_from_ego[:, :3, 3], [[x, 2, 0] for x in (0, 0.4, 2.5, 5, 5.4)]
    )


def test_the_demo_has_keyframes_alone(root, tmp_path):
    write_bag(root, tmp_path / 'd.mcap')
    assert counts(tmp_path / 'd.mcap')['/camera/front/image/compressed'] == 2
    assert counts(tmp_path / 'd.mcap')['/odometry'] == 5


def test_the_motion_between_scan_and_image_counts(root, tmp_path):
    bag = convert('nuscenes', root, tmp_path / 'd.mcap')
    cloud = decoded(bag, '/lidar/points')[0]
    pixels, depth = cloud_in_image(read_drive(bag), cloud, 'front', NUSCENES_US * 1000)
    # At the image's time the vehicle was 0.4 m behind, and sensors sit at the same place.
    x, y, z = SCAN[:2, :3].T
    camera = np.stack([-y, -z, x + 0.4], 1)
    np.testing.assert_allclose(depth, camera[:, 2], atol=1e-6)
    np.testing.assert_allclose(pixels, project(PROJECTION[:, :3], camera)[0], atol=1e-4)


def occ3d(*occupied):
    semantics, mask = np.full(GRID.shape, FREE, np.uint8), np.zeros(GRID.shape, np.uint8)
    for *index, number in occupied:
        semantics[tuple(index)] = number
        mask[tuple(index)] = 1
    return semantics, mask


def test_voxels_are_moved_to_the_stamp_of_the_front_camera(root, tmp_path, capsys):
    """An evaluation compares them with what was predicted at that stamp."""
    assert GRID.voxel_size_m[0] == pytest.approx(SPEED_M_S * LIDAR_LATE_US * 1e-6)
    path = root / 'gts/scene-0001/a1/labels.npz'
    write_occ3d(path, *occ3d((110, 100, 3, CAR), (120, 90, 2, ROAD), (199, 0, 0, CAR)))
    bag = convert('nuscenes', root, tmp_path / 'd.mcap')
    ((stamp_ns, truth),) = occupancy_truths(read_drive(bag), GRID)
    assert stamp_ns == 1000 * (NUSCENES_US + 500_000)
    assert np.argwhere(truth.occupied).tolist() == [[111, 100, 3], [121, 90, 2]]
    assert np.argwhere(truth.visible).tolist() == [[111, 100, 3], [121, 90, 2]]
    assert np.argwhere(truth.ground).tolist() == [[121, 90, 2]]
    assert truth.labels[111, 100, 3] == CLASS_NAMES.index('vehicle')
    assert 'voxels (gts) of 1 of 2 samples' in capsys.readouterr().out


@pytest.mark.parametrize(
    'damage', ['shape', 'type', 'class', 'noise', 'lacks the mask'],
)  # fmt: skip
def test_damaged_voxels_are_named(root, tmp_path, damage):
    path = root / 'gts/scene-0001/a0/labels.npz'
    semantics, mask = occ3d()
    if damage == 'shape':
        semantics = semantics[:100]
    elif damage == 'type':
        mask = mask.astype(np.float32)
    elif damage == 'class':
        semantics[0, 0, 0] = 18
    write_occ3d(path, semantics, mask)
    if damage == 'noise':
        path.write_bytes(b'PK' + bytes(99))
    elif damage == 'lacks the mask':
        np.savez(path, semantics=semantics)
    refused('nuscenes', root, tmp_path, r'occupancy labels .*labels\.npz')


def test_what_a_tree_lacks_is_said_once(root, tmp_path, capsys):
    shutil.rmtree(root / 'samples/LIDAR_TOP')
    shutil.rmtree(root / 'sweeps')
    bag = convert('nuscenes', root, tmp_path / 'd.mcap')
    assert counts(bag)['/camera/front/image/compressed'] == 2
    assert '/lidar/points' not in counts(bag)
    said = capsys.readouterr().out
    for sentence in ('no LiDAR', '1 sweeps of CAM_FRONT are not', 'no voxels of Occ3D (gts)'):
        assert said.count(sentence) == 1


def edit(root, table, change):
    path = root / 'v1.0-mini' / f'{table}.json'
    rows = json.loads(path.read_text())
    for row in rows:
        change(row)
    path.write_text(json.dumps(rows))


def test_one_of_several_scans_may_not_be_missing(root, tmp_path):
    (root / f'samples/LIDAR_TOP/{LIDAR_LATE_US}.pcd.bin').unlink()
    refused('nuscenes', root, tmp_path, r'40000\.pcd\.bin is not in')


def test_scenes_are_chosen_by_name(root, tmp_path):
    refused('nuscenes', root, tmp_path, 'no drive "scene-9": it has scene-0001$', 'scene-9')
    path = root / 'v1.0-mini/scene.json'
    scenes = [{'token': str(n), 'name': f'scene-{n:04d}'} for n in range(30, 0, -1)]
    path.write_text(json.dumps(scenes))
    said = refused('nuscenes', root, tmp_path, 'has several drives')
    assert said.endswith('choose one with --drive: ' + ', '.join(
        f'scene-{n:04d}' for n in range(1, 21)
    ) + ', ...')  # fmt: skip
    path.write_text('[]')
    refused('nuscenes', root, tmp_path, 'has no drive: unpack')


@pytest.mark.parametrize('name', ['../secret.jpg', '/etc/passwd', 'samples/\0', '.'])
@pytest.mark.parametrize('is_key', [True, False])
def test_no_name_in_a_table_leads_outside(root, tmp_path, name, is_key):
    write_image(tmp_path / 'secret.jpg')

    def change(row):
        row['filename'] = name if row['is_key_frame'] == is_key else row['filename']

    edit(root, 'sample_data', change)
    if is_key:
        refused('nuscenes', root, tmp_path, 'is not in')
    else:  # as a sweep that is not unpacked
        bag = convert('nuscenes', root, tmp_path / 'd.mcap')
        assert counts(bag)['/camera/front/image/compressed'] == 2


@pytest.mark.parametrize(
    ('table', 'change', 'sentence'),
    [
        ('scene', lambda row: row.update(name='../..'), None),
        ('sample_data', lambda row: row.update(width=99), '64x32 but camera "front" is .* 99x32'),
        ('sample_data', lambda row: row.update(timestamp=5), 'do not increase'),
        ('sensor', lambda row: row.update(channel='CAM_../a'), 'cannot have a topic of its own'),
        ('calibrated_sensor', lambda row: row.update(camera_intrinsic=[]), 'cannot reshape'),
        ('ego_pose', lambda row: row.update(rotation=[0, 0, 0, 0]), 'is no pose'),
    ],
)
def test_wrong_rows_are_one_sentence(root, tmp_path, table, change, sentence):
    edit(root, table, change)
    if sentence is None:
        assert convert('nuscenes', root, tmp_path / 'd.mcap', '../..').is_file()
    else:
        refused('nuscenes', root, tmp_path, sentence)


@pytest.mark.slow
@pytest.mark.parametrize(
    'table', ['scene', 'sample', 'sample_data', 'calibrated_sensor', 'sensor', 'ego_pose']
)
def test_hostile_tables_are_one_sentence(root, tmp_path, table):
    path = root / 'v1.0-mini' / f'{table}.json'
    for text in hostile_variants(path.read_text()):
        path.write_text(text)
        with ended_well_or_in_one_sentence(tmp_path / 'out', text) as out:
            write_drive(find_drive(NuScenes(root), 'scene-0001'), out)
