from __future__ import annotations

import shutil

import numpy as np
import pytest
from converted import check_stamps, cloud_in_image, convert, counts, decoded, project, refused
from small_trees import (
    CAMERA0_FROM_LIDAR,
    PROJECTION,
    SCAN,
    write_image,
    write_semantic_kitti,
    write_semantic_kitti_voxels,
)

from selfocc_core import bag_messages as messages
from selfocc_core.datasets.semantic_kitti import GRID
from selfocc_core.datasets.semantic_kitti_classes import NO_CLASS
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.truth import occupancy_truths
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.transforms import transform_points

SHAPE = (256, 256, 32)


@pytest.fixture
def sequence(tmp_path):
    return write_semantic_kitti(tmp_path / 'tree')


@pytest.fixture
def root(sequence):
    return sequence.parent.parent


def test_a_sequence_becomes_a_drive(root, sequence, tmp_path):
    bag = convert('semantickitti', root, tmp_path / 'd.mcap')
    check_stamps(bag)
    assert counts(bag) == {
        '/camera/front/camera_info': 3, '/camera/front/image/compressed': 3,
        '/lidar/points': 3, '/odometry': 3, '/tf': 3, '/tf_static': 1,
    }  # fmt: skip
    read, clouds = read_drive(bag), decoded(bag, '/lidar/points')
    stamps_ns = [messages.stamp_ns_of(cloud) for cloud in clouds]
    assert stamps_ns == [1_000_000_000, 1_100_000_000, 1_200_000_000]  # 0 is no stamp in ROS
    np.testing.assert_allclose(read.trajectory.world_from_ego[:, 0, 3], [0, 1, 2], atol=1e-9)
    np.testing.assert_allclose(read.trajectory.world_from_ego[:, 1:3, 3], 0, atol=1e-9)
    np.testing.assert_allclose(
        read.rig['front'].ego_from_camera[:3, 3], [1.06, 0.06, 1.63], atol=1e-9
    )
    pixels, _ = cloud_in_image(read, clouds[1], 'front', stamps_ns[1])
    expected, _ = project(PROJECTION, transform_points(CAMERA0_FROM_LIDAR, SCAN[:2, :3]))
    np.testing.assert_allclose(pixels, expected, atol=1e-4)


def test_points_have_the_classes_of_this_project(root, sequence, tmp_path):
    bag = convert('semantickitti', root, tmp_path / 'd.mcap')
    fields = messages.decode_point_cloud(decoded(bag, '/lidar/points')[0])
    # The third point has no place.
    assert [CLASS_NAMES[label] for label in fields['label']] == ['vehicle', 'road']
    np.array([0, 1, 40], np.uint32).tofile(sequence / 'labels' / '000000.label')
    fields = messages.decode_point_cloud(
        decoded(convert('semantickitti', root, tmp_path / 'd.mcap'), '/lidar/points')[0]
    )
    assert fields['label'].tolist() == [NO_CLASS, NO_CLASS]


def test_voxels_are_scored_as_the_benchmark_does(root, sequence, tmp_path):
    labels, invalid = np.zeros(SHAPE), np.zeros(SHAPE)
    labels[100, 128, 10] = 40  # road
    labels[100, 128, 11] = 252  # a moving car
    labels[100, 128, 12] = 99  # other object: the benchmark has no class for it
    labels[100, 128, 13] = 1  # outlier
    labels[100, 128, 14] = 70  # vegetation that nobody saw
    invalid[100, 128, 14] = invalid[0, 0, 0] = 1
    write_semantic_kitti_voxels(sequence, 1, labels, invalid)
    bag = convert('semantickitti', root, tmp_path / 'd.mcap')
    ((stamp_ns, truth),) = occupancy_truths(read_drive(bag), GRID)
    assert stamp_ns == 1_100_000_000
    column = np.s_[100, 128, 10:15]
    assert truth.occupied[column].tolist() == [True, True, True, False, True]
    assert truth.visible[column].tolist() == [True, True, False, False, False]
    assert truth.ground[column].tolist() == [True, False, False, False, False]
    assert truth.visible.sum() == np.prod(SHAPE) - 4
    # The voxel begins 20 m ahead of the LiDAR, in the middle, at its height.
    cloud = decoded(bag, '/ground_truth/voxels')[0]
    fields = messages.decode_point_cloud(cloud)
    place = messages.xyz(fields)[fields['label'] == CLASS_NAMES.index('road')]
    np.testing.assert_allclose(place, [[20.1 + 0.76, 0.1, 0.1 + 1.73]], atol=1e-5)
    assert cloud.header.frame_id == 'base_link'


def test_what_a_sequence_lacks_is_said_once(root, sequence, tmp_path, capsys):
    shutil.rmtree(sequence / 'velodyne')
    (sequence / 'poses.txt').unlink()
    bag = convert('semantickitti', root, tmp_path / 'd.mcap')
    assert counts(bag).keys() == {
        '/camera/front/camera_info', '/camera/front/image/compressed', '/tf_static',
    }  # fmt: skip
    said = capsys.readouterr().out
    for sentence in (
        'no images of image_3, image_0, image_1', 'no LiDAR', 'no poses.txt', 'no labelled voxels',
    ):  # fmt: skip
        assert said.count(sentence) == 1


def test_scans_alone_are_a_drive_some_of_them_labelled(root, sequence, tmp_path, capsys):
    shutil.rmtree(sequence / 'image_2')
    (sequence / 'labels/000001.label').unlink()
    bag = convert('semantickitti', root, tmp_path / 'd.mcap')
    assert counts(bag) == {'/lidar/points': 3, '/odometry': 3, '/tf': 3, '/tf_static': 1}
    assert 'labels of 2 of 3 scans' in capsys.readouterr().out
    fields = [messages.decode_point_cloud(cloud) for cloud in decoded(bag, '/lidar/points')]
    assert ['label' in cloud for cloud in fields] == [True, False, True]


@pytest.mark.parametrize('below', ['', 'sequences', 'sequences/00'])
def test_the_root_may_be_any_of_three(root, sequence, tmp_path, below, monkeypatch):
    monkeypatch.chdir(root / below)
    assert counts(convert('semantickitti', root.__class__(), tmp_path / 'd.mcap', '00'))


def write(path, content):
    return lambda sequence: (sequence / path).write_bytes(content)


def write_voxels(number, labels=40, count=1):
    def damage(sequence):
        write_semantic_kitti_voxels(sequence, number, np.full(SHAPE, labels), np.zeros(SHAPE))
        path = sequence / 'voxels' / f'{number:06d}.label'
        path.write_bytes(path.read_bytes()[: int(count * path.stat().st_size)])

    return damage


def without_invalid(sequence):
    write_voxels(0)(sequence)
    (sequence / 'voxels/000000.invalid').unlink()


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (write('calib.txt', b'P2: 1 2 3'), 'has no line "Tr"'),
        (write('calib.txt', b'\xff\xff'), 'is not a text file'),
        (lambda s: (s / 'calib.txt').unlink(), 'is not a tree of SemanticKITTI'),
        (lambda s: (s / 'times.txt').unlink(), 'cannot read time stamps'),
        (write('times.txt', b'0 0.1 x'), 'time stamps .* are malformed'),
        (write('times.txt', b'0 0.2 0.1'), 'do not increase'),
        (write('times.txt', b'-5 0.1 0.2'), 'not between 1970 and 2038'),
        (write('times.txt', b'0 0.1 1e300'), 'time stamps|not between 1970 and 2038'),
        (write('times.txt', b'0 0.1'), r'000002\.png has no stamp'),
        (write('times.txt', b'0 0.1 0.2 0.3'), '3 lines for 4 frames'),
        (write('poses.txt', b'1 2 3'), 'do not have 12 numbers'),
        (lambda s: (s / 'image_2/000001.png').unlink(), 'images are missing between'),
        (write('image_2/000002.png', b'\x89PNG'), r'000002\.png is damaged'),
        (lambda s: write_image(s / 'image_2/000002.png', 2, width=62), '62x32 but camera "front"'),
        (write('velodyne/000002.bin', b'12345'), r'scan .*000002\.bin is truncated'),
        (write('labels/000002.label', b'1234'), 'are 1 for 3 points'),
        (write('labels/000002.label', b'12345'), r'labels .*000002\.label is truncated'),
        (write('labels/000002.label', b'\x4d\0\0\0' * 3), 'have the class 77'),
        (write_voxels(0, labels=300), 'have the class 300'),
        (write_voxels(0, count=0.5), 'are 1048576, not 256x256x32'),
        (write_voxels(5), r'000005\.(label|invalid) has no stamp'),
        (without_invalid, r'have no 000000\.invalid beside them'),
    ],
)
def test_damage_is_one_sentence_that_names_it(root, sequence, tmp_path, damage, sentence):
    damage(sequence)
    refused('semantickitti', root, tmp_path, sentence)
