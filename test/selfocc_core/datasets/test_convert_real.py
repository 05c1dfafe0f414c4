"""Real trees, converted: the bag against what each dataset says itself."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from converted import check_stamps, cloud_in_image, convert, counts, decoded, project
from small_trees import write_json

from selfocc_core import bag_messages as messages
from selfocc_core.datasets.occ3d import GRID, read_occ3d
from selfocc_core.datasets.semantic_kitti import GRID as SEMANTIC_KITTI_GRID
from selfocc_core.doctor.bag_check import check_bag
from selfocc_core.evaluation.drive import read_drive
from selfocc_core.evaluation.truth import depth_truths, occupancy_truths
from selfocc_core.rig_from_bag import rig_from_bag
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.transforms import invert, quaternion_from_transform, transform_points

REAL = Path(__file__).resolve().parents[4] / 'shared/data/real'
DAY = REAL / 'kitti_raw/2011_09_26'
SCENE = REAL / 'nuscenes/simple/ca9a282c9e77460f8360f564131a8af5'

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not REAL.is_dir(), reason='needs ../shared/data/real'),
]


def check_by_doctor(bag: Path) -> None:
    errors = [str(finding) for finding in check_bag(bag) if finding.level == 'error']
    assert errors == []


@pytest.fixture(scope='module')
def kitti_io():
    spec = importlib.util.spec_from_file_location('kitti_io', REAL / 'tools/kitti_io.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('bags')


@pytest.fixture(scope='module')
def kitti_13(folder):
    name = '2011_09_26_drive_0013_sync'
    return convert('kitti-raw', REAL / 'kitti_raw', folder / '13.mcap', name)


@pytest.fixture(scope='module')
def kitti_5(folder):
    return convert(
        'kitti-raw', REAL / 'kitti_raw', folder / '5.mcap', '2011_09_26_drive_0005_sync'
    )


def test_kitti_scans_land_where_its_own_matrices_put_them(kitti_13, kitti_io):
    read, calibration = read_drive(kitti_13), kitti_io.load_calib(DAY)
    clouds = decoded(kitti_13, '/lidar/points')
    assert len(clouds) == 144
    scans = DAY / '2011_09_26_drive_0013_sync/velodyne_points/data_npz'
    for number in (1, 40, 143):
        points = kitti_io.load_lidar_npz(scans / f'{number:010d}.npz')
        expected, depth, seen = kitti_io.project_velo(points, calibration)
        stamp_ns = messages.stamp_ns_of(clouds[number])
        pixels, own_depth = cloud_in_image(read, clouds[number], 'front', stamp_ns)
        assert seen.sum() > 10_000
        assert np.abs(pixels[seen] - expected).max() < 1e-3
        np.testing.assert_allclose(own_depth[seen], depth, atol=1e-5)


def test_each_kitti_camera_sees_the_scan_through_its_own_matrix(kitti_5, kitti_io):
    read, calibration = read_drive(kitti_5), kitti_io.load_calib(DAY)
    (cloud,) = decoded(kitti_5, '/lidar/points')
    path = DAY / '2011_09_26_drive_0005_sync/velodyne_points/data/0000000000.bin'
    scan = np.fromfile(path, np.float32).reshape(-1, 4)
    assert messages.decode_point_cloud(cloud)['intensity'].tolist() == scan[:, 3].tolist()
    names = {2: 'front', 3: 'color_right', 0: 'gray_left', 1: 'gray_right'}
    assert read.rig.names == tuple(names.values())
    for number, name in names.items():
        expected, _, seen = kitti_io.project_velo(scan[:, :3], calibration, number)
        pixels, _ = cloud_in_image(read, cloud, name, messages.stamp_ns_of(cloud))
        assert np.abs(pixels[seen] - expected).max() < 1e-3
        # What the page of the benchmark says of all cameras.
        assert read.rig[name].ego_from_camera[2, 3] == pytest.approx(1.65, abs=0.02)


def test_the_kitti_road_is_at_height_0(kitti_5):
    (cloud,) = decoded(kitti_5, '/lidar/points')
    mounting = read_drive(kitti_5).frames.lookup('base_link', 'lidar')
    x, y, z = transform_points(mounting, messages.xyz(messages.decode_point_cloud(cloud))).T
    road = (x > 4) & (x < 10) & (np.abs(y) < 1.5) & (z < 0.5)
    assert road.sum() > 500
    assert abs(np.median(z[road])) < 0.1


def test_kitti_poses_are_those_of_oxts_at_its_own_stamps(kitti_13, kitti_io):
    trajectory = read_drive(kitti_13).trajectory
    mounting = read_drive(kitti_13).frames.lookup('base_link', 'lidar')
    poses = DAY / '2011_09_26_drive_0013_sync/poses'
    expected = kitti_io.load_poses(poses / 'velo_oxts_raw.txt')
    own = trajectory.world_from_ego @ mounting
    np.testing.assert_allclose(invert(own[0]) @ own, expected, atol=2e-3)
    stamps = (poses.parent / 'oxts/timestamps.txt').read_text().split('\n')[:144]
    assert trajectory.stamps_ns.tolist() == np.array(stamps, 'datetime64[ns]').tolist()
    # At the cameras' stamps the saw-tooth of the samples is gone.
    images = decoded(kitti_13, '/camera/front/image/compressed')
    at_shutter = np.stack([trajectory.at(messages.stamp_ns_of(image)) for image in images])
    smooth, raw = (
        np.diff(np.linalg.norm(np.diff(p[1:-1, :3, 3], axis=0), axis=1)).std()
        for p in (at_shutter, trajectory.world_from_ego)
    )
    assert smooth < 0.3 * raw


@pytest.mark.parametrize('bag', ['kitti_13', 'kitti_5'])
def test_kitti_bags_are_sound(bag, request):
    path = request.getfixturevalue(bag)
    check_stamps(path)
    check_by_doctor(path)


@pytest.fixture(scope='module')
def nuscenes(folder):
    return convert('nuscenes', REAL / 'nuscenes', folder / 'nuscenes.mcap')


def test_nuscenes_is_what_its_plain_frame_says(nuscenes):
    check_stamps(nuscenes)
    check_by_doctor(nuscenes)
    frame, read = json.loads((SCENE / 'frame.json').read_text()), read_drive(nuscenes)
    assert len(read.rig) == 6
    for channel, said in frame['cameras'].items():
        camera = read.rig[channel.removeprefix('CAM_').lower()]
        np.testing.assert_allclose(camera.image_from_camera, said['K'], atol=1e-9)
        np.testing.assert_allclose(camera.ego_from_camera, said['T_ego_cam'], atol=1e-6)
        pose = read.trajectory.at(1000 * said['timestamp_us'])
        np.testing.assert_allclose(pose, said['T_global_ego_at_cam'], atol=1e-6)
    (cloud,) = decoded(nuscenes, '/lidar/points')
    mounting = read.frames.lookup('base_link', 'lidar')
    points = transform_points(mounting, messages.xyz(messages.decode_point_cloud(cloud)))
    np.testing.assert_allclose(points, np.load(SCENE / 'lidar_ego.npz')['xyz'], atol=6e-4)


def test_nuscenes_scans_land_where_its_plain_frame_puts_them(nuscenes):
    frame, read = json.loads((SCENE / 'frame.json').read_text()), read_drive(nuscenes)
    (cloud,) = decoded(nuscenes, '/lidar/points')
    points = messages.xyz(messages.decode_point_cloud(cloud))
    moved = 0.0
    for channel, said in frame['cameras'].items():
        name, stamp_ns = channel.removeprefix('CAM_').lower(), 1000 * said['timestamp_us']
        world_from_camera = np.array(said['T_global_ego_at_cam']) @ said['T_ego_cam']
        world_from_lidar = np.array(frame['T_global_ego']) @ frame['T_ego_lidar']
        expected, depth = project(
            np.array(said['K']),
            transform_points(invert(world_from_camera) @ world_from_lidar, points),
        )
        pixels, own_depth = cloud_in_image(read, cloud, name, stamp_ns)
        seen = (depth > 1) & (expected > 0).all(1) & (expected < (1600, 900)).all(1)
        assert seen.sum() > 1000
        assert np.abs(pixels - expected)[seen].max() < 0.01
        np.testing.assert_allclose(own_depth, depth, atol=1e-3)
        still, _ = project(
            np.array(said['K']),
            transform_points(invert(np.array(said['T_ego_cam'])) @ frame['T_ego_lidar'], points),
        )
        moved = max(moved, np.abs(still - expected)[seen].max())
    assert moved > 10  # without the motion between scan and image it is elsewhere


def test_nuscenes_without_lidar_is_a_surround_drive(tmp_path, capsys):
    """The tree of a frame without scan, in the form that nuScenes gives it."""
    source = REAL / 'nuscenes/extra_scene0103_nolidar'
    frame, root = json.loads((source / 'frame.json').read_text()), tmp_path / 'tree'
    tables = {name: [] for name in ('sensor', 'calibrated_sensor', 'ego_pose', 'sample_data')}
    for channel, said in frame['cameras'].items():
        mounting = np.array(said['T_ego_cam'])
        x, y, z, w = quaternion_from_transform(mounting).tolist()
        tables['sensor'].append({'token': channel, 'channel': channel})
        tables['calibrated_sensor'].append(
            {
                'token': channel,
                'sensor_token': channel,
                'translation': mounting[:3, 3].tolist(),
                'rotation': [w, x, y, z],
                'camera_intrinsic': said['K'],
            }
        )
        tables['ego_pose'].append(
            {'token': channel, 'rotation': [1, 0, 0, 0], 'translation': [0, 0, 0]}
        )
        tables['sample_data'].append(
            {
                'token': channel,
                'sample_token': 'a',
                'ego_pose_token': channel,
                'calibrated_sensor_token': channel,
                'timestamp': said['timestamp_us'],
                'is_key_frame': True,
                'width': 1600,
                'height': 900,
                'filename': f'samples/{said["file"]}',
            }
        )
        (root / 'samples').mkdir(parents=True, exist_ok=True)
        shutil.copy(source / said['file'], root / 'samples')
    tables['scene'] = [{'token': 's', 'name': 'scene-0103'}]
    tables['sample'] = [{'token': 'a', 'scene_token': 's'}]
    for name, rows in tables.items():
        write_json(root / 'v1.0-mini' / f'{name}.json', rows)
    bag = convert('nuscenes', root, tmp_path / 'd.mcap')
    assert capsys.readouterr().out.count('no LiDAR') == 1
    check_by_doctor(bag)
    assert rig_from_bag(bag).names == (
        'front', 'front_right', 'front_left', 'back', 'back_left', 'back_right',
    )  # fmt: skip


def test_occ3d_voxels_hold_at_the_stamp_of_the_front_camera(tmp_path):
    root = tmp_path / 'tree'
    for name in ('v1.0-mini', 'samples'):
        shutil.copytree(REAL / 'nuscenes' / name, root / name)
    (labels,) = (REAL / 'nuscenes/gts').rglob('labels.npz')
    token = json.loads((root / 'v1.0-mini/sample.json').read_text())[0]['token']
    (root / 'gts/scene-0061' / token).mkdir(parents=True)
    shutil.copy(labels, root / 'gts/scene-0061' / token)
    truth = read_occ3d(labels)
    with np.load(labels) as arrays:
        numbers, mask = arrays['semantics'], arrays['mask_camera']
    assert np.array_equal(truth.occupied, numbers != 17)
    assert np.array_equal(truth.visible, mask == 1)
    vehicles = truth.label == CLASS_NAMES.index('vehicle')
    assert np.array_equal(truth.occupied & vehicles, np.isin(numbers, (2, 3, 4, 5, 6, 9, 10)))
    read = read_drive(convert('nuscenes', root, tmp_path / 'd.mcap'))
    ((stamp_ns, moved),) = occupancy_truths(read, GRID)
    frame = json.loads((SCENE / 'frame.json').read_text())
    assert stamp_ns == 1000 * frame['cameras']['CAM_FRONT']['timestamp_us']
    motion = read.motion(stamp_ns, 1000 * frame['timestamp_us'])
    assert motion[0, 3] == pytest.approx(0.31, abs=0.02)  # ahead of where the vehicle was
    centers = transform_points(motion, GRID.centers()[truth.occupied & truth.visible])
    ijk, inside = GRID.indices(centers)
    hits = moved.occupied[tuple(ijk[inside].T)]
    assert hits.mean() > 0.99


@pytest.fixture(scope='module')
def semantic_kitti(folder):
    """The real sequence under made-up pictures, as KITTI odometry has its images elsewhere."""
    sequence = folder / 'tree/sequences/00'
    sequence.mkdir(parents=True)
    real = REAL / 'semantic_kitti/sequences/00'
    for path in real.iterdir():
        name = path.name.removesuffix('_synthetic')
        (sequence / name).symlink_to(path)
    image = messages.compressed_image(np.full((376, 1241, 3), 90, np.uint8), 0, '').data
    (sequence / 'image_2').mkdir()
    for number in range(3):
        (sequence / f'image_2/{number:06d}.jpg').write_bytes(image.tobytes())
    return convert('semantickitti', folder / 'tree', folder / 'semantic_kitti.mcap')


def real_scan(number: int) -> np.ndarray:
    path = REAL / f'semantic_kitti/sequences/00/velodyne/{number:06d}.bin'
    return np.fromfile(path, np.float32).reshape(-1, 4)


def test_semantic_kitti_scans_land_where_its_own_matrices_put_them(semantic_kitti):
    check_stamps(semantic_kitti)
    check_by_doctor(semantic_kitti)
    read, clouds = read_drive(semantic_kitti), decoded(semantic_kitti, '/lidar/points')
    text = (REAL / 'semantic_kitti/sequences/00/calib.txt').read_text()
    lines = dict(line.split(':') for line in text.splitlines() if line)
    projection, camera0_from_lidar = (
        np.array(lines[name].split(), float).reshape(3, 4) for name in ('P2', 'Tr')
    )
    for number, cloud in enumerate(clouds):
        points = np.append(real_scan(number)[:, :3], np.ones((len(real_scan(number)), 1)), 1)
        expected, depth = project(projection, points @ camera0_from_lidar.T)
        pixels, _ = cloud_in_image(read, cloud, 'front', messages.stamp_ns_of(cloud))
        seen = (depth > 1) & (np.abs(expected - (620, 188)) < (620, 188)).all(1)
        assert seen.sum() > 10_000
        assert np.abs(pixels - expected)[seen].max() < 1e-3


def test_semantic_kitti_poses_are_those_of_camera_0(semantic_kitti):
    read = read_drive(semantic_kitti)
    poses = np.tile(np.eye(4), (100, 1, 1))
    path = REAL / 'semantic_kitti/sequences/00/poses.txt'
    poses[:, :3] = np.loadtxt(path).reshape(-1, 3, 4)
    # Camera 2 is beside rectified camera 0: of both the path is the same but for that.
    own = read.trajectory.world_from_ego @ read.rig['front'].ego_from_camera
    offset = np.eye(4)
    offset[:3, 3] = -np.array([45.38225, -0.1130887, 0.003779761]) / (718.856, 718.856, 1)
    expected = invert(offset) @ poses @ offset
    assert np.abs((invert(own[0]) @ own)[:, :3, 3] - expected[:, :3, 3]).max() < 0.05


def test_real_labels_say_what_the_points_are(semantic_kitti):
    mounting = read_drive(semantic_kitti).frames.lookup('base_link', 'lidar')
    for cloud in decoded(semantic_kitti, '/lidar/points'):
        fields = messages.decode_point_cloud(cloud)
        points = transform_points(mounting, messages.xyz(fields))
        near = np.linalg.norm(points[:, :2], axis=1) < 10
        road = points[near & (fields['label'] == CLASS_NAMES.index('road'))]
        building = points[fields['label'] == CLASS_NAMES.index('building')]
        assert len(road) > 1000
        assert abs(np.median(road[:, 2])) < 0.1
        assert np.median(building[:, 2]) > 1


def test_real_scans_lie_in_the_occupied_voxels(semantic_kitti):
    """The voxels of this tree were made of its three scans."""
    read = read_drive(semantic_kitti)
    ((stamp_ns, truth),) = occupancy_truths(read, SEMANTIC_KITTI_GRID)
    cloud = decoded(semantic_kitti, '/lidar/points')[0]
    assert messages.stamp_ns_of(cloud) == stamp_ns
    fields = messages.decode_point_cloud(cloud)
    points = transform_points(read.frames.lookup('base_link', 'lidar'), messages.xyz(fields))
    ijk, inside = SEMANTIC_KITTI_GRID.indices(points)
    labelled = inside & (fields['label'] < len(CLASS_NAMES))
    assert labelled.sum() > 20_000
    at = tuple(ijk[labelled].T)
    assert truth.occupied[at].mean() > 0.99
    assert (truth.labels[at] == fields['label'][labelled]).mean() > 0.9


def test_real_scans_without_images_are_a_bag_that_the_doctor_finds_blind(folder, capsys):
    bag = convert('semantickitti', REAL / 'semantic_kitti', folder / 'blind.mcap')
    assert capsys.readouterr().out.count('no images of image_2, image_3, image_0, image_1') == 1
    assert counts(bag) == {'/lidar/points': 3, '/odometry': 100, '/tf': 100, '/tf_static': 1}
    (error,) = [finding for finding in check_bag(bag) if finding.level == 'error']
    assert error.subject == 'cameras'


@pytest.fixture(scope='module')
def dgp(folder):
    return convert('dgp', REAL / 'ddad_dgp/test_scene', folder / 'dgp.mcap')


def test_dgp_is_what_its_plain_frames_say(dgp):
    check_stamps(dgp)
    check_by_doctor(dgp)
    read, frames = (
        read_drive(dgp),
        json.loads((REAL / 'ddad_dgp/scene_01_frames.json').read_text()),
    )
    clouds = decoded(dgp, '/lidar/points')
    assert len(clouds) == len(frames) == 3
    for frame, cloud in zip(frames, clouds, strict=True):
        points = np.load(REAL / 'ddad_dgp' / frame['lidar']['file'])['data'][:, :3]
        for name, said in frame['cameras'].items():
            camera = read.rig[name.lower()]
            np.testing.assert_allclose(camera.image_from_camera, said['K'], atol=1e-9)
            np.testing.assert_allclose(camera.ego_from_camera, said['T_vehicle_cam'], atol=1e-9)
            camera_from_lidar = (
                invert(np.array(said['T_world_cam'])) @ frame['lidar']['T_world_lidar']
            )
            expected, depth = project(
                np.array(said['K']), transform_points(camera_from_lidar, points)
            )
            (stamp_ns,) = [
                messages.stamp_ns_of(image)
                for image in decoded(dgp, f'/camera/{camera.name}/image/compressed')
                if abs(messages.stamp_ns_of(image) - messages.stamp_ns_of(cloud)) < 50_000_000
            ]
            pixels, _ = cloud_in_image(read, cloud, camera.name, stamp_ns)
            seen = (depth > 1) & (expected > 0).all(1) & (expected < (1936, 1216)).all(1)
            assert seen.sum() > 1000
            assert np.abs(pixels - expected)[seen].max() < 0.01


def test_dgp_runs_at_10_hz_and_stands_on_the_ground(dgp):
    clouds = decoded(dgp, '/lidar/points')
    stamps_ns = [messages.stamp_ns_of(cloud) for cloud in clouds]
    np.testing.assert_allclose(np.diff(stamps_ns), 1e8, atol=1e5)
    read = read_drive(dgp)
    mounting = read.frames.lookup('base_link', 'lidar')
    x, y, z = transform_points(mounting, messages.xyz(messages.decode_point_cloud(clouds[0]))).T
    road = (np.abs(x - 5) < 5) & (np.abs(y) < 3) & (z < 0.4)
    assert abs(np.median(z[road])) < 0.2
    assert np.abs(np.diff(read.trajectory.world_from_ego[:, :3, 3], axis=0)).max() < 1e-4


@pytest.mark.parametrize('bag', ['kitti_13', 'kitti_5', 'nuscenes', 'dgp'])
def test_an_evaluation_finds_depth_for_every_image(bag, request):
    """Of drive 5 all images and its scan are within the 60 ms that an evaluation allows."""
    read = read_drive(request.getfixturevalue(bag))
    wanted = {
        (name, messages.stamp_ns_of(image))
        for name in read.rig.names
        for image in decoded(read.path, f'/camera/{name}/image/compressed')[:3]
    }
    truths = list(depth_truths(read, wanted))
    assert {(truth.camera, truth.stamp_ns) for truth in truths} == wanted
    assert min(len(truth.points) for truth in truths) > 500
