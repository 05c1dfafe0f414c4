from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from converted import check_stamps, cloud_in_image, convert, counts, decoded, project, refused
from hostile import ended_well_or_in_one_sentence, hostile_variants
from small_trees import DGP_FIRST, PROJECTION, SCAN, STEP_NS, dgp_datum, write_dgp, write_image

from selfocc_core import bag_messages as messages
from selfocc_core.datasets.dataset_drive import find_drive
from selfocc_core.datasets.dgp import Dgp
from selfocc_core.datasets.drive_writer import write_drive
from selfocc_core.evaluation.drive import read_drive

FIRST_NS = int(np.datetime64(DGP_FIRST.removesuffix('Z'), 'ns').astype(np.int64))


@pytest.fixture
def root(tmp_path):
    return write_dgp(tmp_path / 'tree')


def edit(root, change, table='scene_abc.json'):
    path = root / '000000' / table
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_scene_becomes_a_drive(root, tmp_path):
    bag = convert('dgp', root, tmp_path / 'd.mcap')
    check_stamps(bag)
    assert counts(bag) == {
        '/camera/camera_01/camera_info': 2, '/camera/camera_01/image/compressed': 2,
        '/lidar/points': 2, '/odometry': 4, '/tf': 4, '/tf_static': 1,
    }  # fmt: skip
    read = read_drive(bag)
    stamps_ns = [FIRST_NS + n * STEP_NS + late for n in (0, 1) for late in (0, 20_000_000)]
    assert read.trajectory.stamps_ns.tolist() == stamps_ns
    # The camera's pose less its mounting is the vehicle's: 0.2 m in 20 ms.
    np.testing.assert_allclose(
        read.trajectory.world_from_ego[:, :3, 3],
        [[x, 0, 0] for x in (0, 0.2, 1.0, 1.2)],
        atol=1e-9,
    )
    cloud = decoded(bag, '/lidar/points')[0]
    pixels, _ = cloud_in_image(read, cloud, 'camera_01', stamps_ns[1])
    x, y, z = SCAN[:2, :3].T
    camera = np.stack([-y, 1.5 - z, x - 0.2 - 1.5], 1)
    np.testing.assert_allclose(pixels, project(PROJECTION[:, :3], camera)[0], atol=1e-4)
    assert messages.decode_point_cloud(cloud)['intensity'].tolist() == [0.5, 0.25]


def test_stamps_in_the_25th_century_are_divided_by_ten(tmp_path, capsys):
    first = np.datetime64('1970-01-01T00:00:00', 'us') + np.timedelta64(
        10 * FIRST_NS // 1000, 'us'
    )
    root = write_dgp(tmp_path / 'tree', first=f'{first}Z', ticks_per_us=10)
    bag = convert('dgp', root, tmp_path / 'd.mcap')
    stamps_ns = [messages.stamp_ns_of(cloud) for cloud in decoded(bag, '/lidar/points')]
    assert stamps_ns == [FIRST_NS, FIRST_NS + STEP_NS]
    said = capsys.readouterr().out
    assert said.count('the stamps begin in 2462, ten times too large') == 1


def test_sensors_that_are_not_unpacked_are_said_once(root, tmp_path, capsys):
    shutil.rmtree(root / '000000/point_cloud')
    bag = convert('dgp', root, tmp_path / 'd.mcap')
    assert '/lidar/points' not in counts(bag)
    assert counts(bag)['/odometry'] == 4
    assert capsys.readouterr().out.count('no files of LIDAR in this scene') == 1
    shutil.rmtree(root / '000000/rgb')
    refused('dgp', root, tmp_path, 'has neither images nor LiDAR')


def test_a_scene_without_lidar_says_so(root, tmp_path, capsys):
    edit(
        root, lambda scene: scene.update(data=[d for d in scene['data'] if 'image' in d['datum']])
    )
    convert('dgp', root, tmp_path / 'd.mcap')
    assert capsys.readouterr().out.count('no LiDAR in this scene') == 1


def test_data_of_other_kinds_are_left_out_and_one_lidar_is_chosen(root, tmp_path, capsys):
    def add(scene):
        radar = {'id': {'name': 'RADAR'}, 'datum': {'radar_point_cloud': {}}}
        second = json.loads(json.dumps(scene['data'][0]).replace('"LIDAR"', '"LIDAR_2"'))
        scene['data'] += [radar, second]

    def mount(calibration):
        for values in calibration.values():
            values.append(values[0])
        calibration['names'][-1] = 'LIDAR_2'

    edit(root, add)
    edit(root, mount, 'calibration/key.json')
    bag = convert('dgp', root, tmp_path / 'd.mcap')
    assert counts(bag)['/lidar/points'] == 2
    assert 'of several LiDARs only LIDAR is' in capsys.readouterr().out


def test_the_root_may_be_the_scene_and_a_table_of_scenes_is_none(root, tmp_path):
    (root / 'scene_dataset_v1.0.json').write_text('{}')
    assert counts(convert('dgp', root, tmp_path / 'd.mcap'))['/lidar/points'] == 2
    assert counts(convert('dgp', root / '000000', tmp_path / 'd.mcap'))['/lidar/points'] == 2
    refused('dgp', root, tmp_path, 'no drive "1": it has 000000$', '1')
    refused('dgp', tmp_path, tmp_path, 'is not a tree of DGP')


def set_calibration(change):
    return lambda root: edit(root, change, 'calibration/key.json')


def set_image(**values):
    return lambda root: edit(root, lambda scene: scene['data'][1]['datum']['image'].update(values))


def set_samples(*keys):
    return lambda root: edit(
        root, lambda scene: scene.update(samples=[{'calibration_key': key} for key in keys])
    )


def set_scan(array):
    return lambda root: np.savez(root / '000000/point_cloud/LIDAR/0.npz', data=array)


def repeat(root):
    edit(root, lambda scene: scene['data'].append(scene['data'][0]))


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (set_image(filename='../../secret.jpg'), r'file \.\./\.\./secret\.jpg is not in'),
        (set_image(filename='/etc/passwd'), 'file /etc/passwd is not in'),
        (set_image(width=60), '64x32 but camera "camera_01" is calibrated for 60x32'),
        (set_samples('../../000000/calibration/key'), None),
        (set_samples('../../../secret'), 'is not in'),
        (set_samples('key', 'other'), 'has 2 calibrations'),
        (set_samples(), 'has 0 calibrations'),
        (set_calibration(lambda c: c['intrinsics'][1].update(skew=0.1)), 'parameter skew of a'),
        (set_calibration(lambda c: c['intrinsics'][1].update(k1=-0.3)), 'parameter k1 of a lens'),
        (set_calibration(lambda c: c['intrinsics'][1].update(fx=0.0)), 'is not calibrated'),
        (set_calibration(lambda c: c['names'].pop()), r'key\.json is malformed'),
        (set_calibration(lambda c: c['names'].reverse()), 'is not calibrated'),
        (set_scan(np.zeros((3, 3))), r'scan .*0\.npz has an array of float64'),
        (set_scan(np.zeros((3, 4), int)), r'scan .*0\.npz has an array of int64'),
        (set_scan(np.zeros(4)), r'scan .*0\.npz has an array of float64'),
        (lambda root: (root / '000000/rgb/CAMERA_01/20000.jpg').unlink(), 'is not in'),
        (lambda root: edit(root, lambda scene: scene['data'].clear()), 'no images and no scans'),
        (repeat, 'stamps of the LiDAR .* do not increase'),
        (lambda root: (root / '000000/scene_abc.json').write_text('{'), 'is not JSON'),
    ],
)
def test_damage_is_one_sentence_that_names_it(root, tmp_path, damage, sentence):
    write_image(tmp_path / 'secret.jpg')
    (tmp_path / 'secret.json').write_text((root / '000000/calibration/key.json').read_text())
    damage(root)
    if sentence is None:
        convert('dgp', root, tmp_path / 'd.mcap')
    else:
        refused('dgp', root, tmp_path, sentence)


@pytest.mark.slow
@pytest.mark.parametrize('table', ['scene_abc.json', 'calibration/key.json'])
def test_hostile_tables_are_one_sentence(root, tmp_path, table):
    path = root / '000000' / table
    for text in hostile_variants(path.read_text()):
        path.write_text(text)
        with ended_well_or_in_one_sentence(tmp_path / 'out', text) as out:
            write_drive(find_drive(Dgp(root), '000000'), out)


def test_a_camera_whose_name_is_no_topic_is_named(root, tmp_path):
    edit(root, lambda scene: scene['data'].append(dgp_datum('CAM/../x', DGP_FIRST, 20_000)))
    shutil.copytree(root / '000000/rgb/CAMERA_01', root / '000000/rgb/x')
    (root / '000000/rgb/CAM').mkdir()
    edit(root, lambda c: [v.append(v[1]) for v in c.values()], 'calibration/key.json')
    edit(root, lambda c: c['names'].__setitem__(-1, 'CAM/../x'), 'calibration/key.json')
    refused('dgp', root, tmp_path, 'camera "cam/../x" of drive "000000" cannot have a topic')
