"""Both launch files, evaluated and run by a launcher from PyPI: not ``ros2 launch`` itself.

Skipped where that launcher cannot run; ``make test`` installs it.
"""

from __future__ import annotations

import importlib
import os
import signal
import time
from contextlib import contextmanager

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('play_launch', reason='"make test" installs play_launch')
from launcher import Launcher
from small_drive import small_rig, write_small_drive

from selfocc_core.bags import BagReader
from selfocc_core.node_inputs import arguments_of_drive, topics_of_drive

SURROUND, REPLAY = ('selfocc_ros', 'surround.launch.py'), ('selfocc_ros', 'replay.launch.py')
TIMEOUT_S = 30.0


@pytest.fixture(scope='module')
def launcher(tmp_path_factory):
    try:
        return Launcher(tmp_path_factory.mktemp('launcher'))
    except (OSError, RuntimeError) as error:
        pytest.skip(f'play_launch does not run here: {error}')


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    return write_small_drive(tmp_path_factory.mktemp('drive') / 'drive.mcap', sets=40)


def given(arguments):
    return [f'{name}:={value}' for name, value in arguments.items()]


def remaps_of(node):
    return {rule['from']: rule['to'] for rule in node.get('remaps', [])}


def test_without_arguments_the_parameter_file_decides(launcher):
    nodes = launcher.evaluate(*SURROUND)
    assert list(nodes) == ['/surround']
    node = nodes['/surround']
    assert (node['pkg'], node['exec']) == ('selfocc_ros', 'surround_node')
    assert node['params'] == {'autostart': True, 'use_sim_time': False}
    assert not node.get('remaps')
    (file,) = node['params_files']
    assert 'height_band_high_m' in file
    assert node['args'] == ['--ros-args', '--log-level', 'info']


def test_arguments_become_parameters_and_remaps_in_the_namespace(launcher):
    arguments = {
        'namespace': '/car',
        'model': 'mine.onnx',
        'rig_file': 'rig.yaml',
        'backend': 'onnxruntime-cpu',
        'engine_precision': 'fp32',
        'cameras': 'left, right',
        'image_transport': 'compressed',
        'image_topic': '/sensing/{camera}/image_raw',
        'odometry_topic': '/odom',
        'use_sim_time': 'true',
        'autostart': 'false',
        'log_level': 'debug',
    }
    nodes = launcher.evaluate(*SURROUND, *given(arguments))
    assert list(nodes) == ['/car/surround']
    node = nodes['/car/surround']
    assert node['params'] == {
        'model': 'mine.onnx',
        'rig_file': 'rig.yaml',
        'backend': 'onnxruntime-cpu',
        'engine_precision': 'fp32',
        'cameras': ['left', 'right'],
        'image_transport': 'compressed',
        'use_sim_time': True,
        'autostart': False,
    }
    remaps = remaps_of(node)
    assert remaps['~/input/left/image/compressed'] == '/sensing/left/image_raw/compressed'
    assert remaps['~/input/right/camera_info'] == '/sensing/right/camera_info'
    assert remaps['~/input/odometry'] == '/odom'
    assert node['args'][-1] == 'debug'


def test_all_that_it_starts_can_send_large_images(launcher):
    for node in launcher.evaluate(*SURROUND, 'rviz:=true').values():
        environment = {variable['name']: variable['value'] for variable in node['env']}
        assert environment['FASTRTPS_DEFAULT_PROFILES_FILE'].endswith('fastdds_large_data.xml')
        assert environment['FASTDDS_DEFAULT_PROFILES_FILE'].endswith('fastdds_large_data.xml')


def test_rviz_follows_into_namespace_and_time(launcher):
    nodes = launcher.evaluate(*SURROUND, *given({'rviz': 'true', 'namespace': '/car'}))
    (name,) = set(nodes) - {'/car/surround'}
    rviz = nodes[name]
    assert (rviz['pkg'], rviz['params']) == ('rviz2', {'use_sim_time': False})
    assert name.startswith('/car/')
    assert rviz['args'][0] == '-d'
    assert rviz['args'][1].endswith('config/surround.rviz')


def test_a_replay_finds_cameras_and_topics_in_the_drive(launcher, drive):
    arguments = {'bag': drive, 'namespace': '/car', 'rate': '0.5', 'loop': 'true'}
    nodes = launcher.evaluate(*REPLAY, *given(arguments))
    node = nodes['/car/surround']
    assert node['params']['cameras'] == list(small_rig().names)
    assert node['params']['image_transport'] == 'compressed'
    assert node['params']['use_sim_time'] is True
    remaps = remaps_of(node)
    assert remaps['~/input/back/image/compressed'] == '/camera/back/image/compressed'
    assert remaps['~/input/odometry'] == '/odometry'
    assert any(node['pkg'] == 'rviz2' for node in nodes.values() if 'pkg' in node)


def test_a_replay_plays_what_the_node_needs_and_no_more(launcher, drive):
    arguments = {
        'bag': drive,
        'rviz': 'false',
        'start_paused': 'true',
        'delay': '2.5',
        'play_arguments': '--start-offset 1.5',
    }
    nodes = launcher.evaluate(*REPLAY, *given(arguments))
    (player,) = (node for name, node in nodes.items() if name != '/surround')
    command = player['raw_cmd']
    assert command[:4] == ['ros2', 'bag', 'play', str(drive)]
    options, topics = command[4 : command.index('--topics')], command[command.index('--topics') :]
    assert options == [
        *('--storage', 'mcap', '--clock', '100', '--rate', '1.0', '--delay', '2.5'),
        *('--start-paused', '--disable-keyboard-controls', '--start-offset', '1.5'),
    ]
    images = [f'/camera/{name}/image/compressed' for name in small_rig().names]
    infos = [f'/camera/{name}/camera_info' for name in small_rig().names]
    assert set(topics[1:]) == {*images, *infos, '/odometry', '/tf_static'}
    environment = {variable['name'] for variable in player['env']}
    assert 'FASTRTPS_DEFAULT_PROFILES_FILE' in environment


def test_what_is_given_wins_over_what_the_drive_says(launcher, drive):
    arguments = {'bag': drive, 'rviz': 'false', 'cameras': 'back,front', 'odometry_topic': '/mine'}
    nodes = launcher.evaluate(*REPLAY, *given(arguments))
    assert nodes['/surround']['params']['cameras'] == ['back', 'front']
    remaps = remaps_of(nodes['/surround'])
    assert remaps['~/input/odometry'] == '/mine'
    assert '~/input/back_left/image' not in remaps


def test_a_missing_drive_is_one_sentence(launcher, tmp_path):
    with pytest.raises(RuntimeError, match=r'there is no bag at .*nothing\.mcap: give'):
        launcher.evaluate(*REPLAY, f'bag:={tmp_path / "nothing.mcap"}')


@pytest.mark.ros
@pytest.mark.slow
def test_it_runs_on_a_drive_until_it_is_interrupted(launcher, drive, own_domain, mock_model):
    """The node is launched for a drive, calibrates itself from it, and answers to its images."""
    pytest.importorskip('tf2_msgs')
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import PointCloud2

    kinds = {'/diagnostics': DiagnosticArray, '/car/surround/occupancy/points': PointCloud2}
    with BagReader(drive) as bag, observer() as node:
        arguments = {**arguments_of_drive(bag), 'namespace': '/car', 'model': mock_model}
        process = started(launcher, *SURROUND, *given({**arguments, 'backend': 'onnxruntime-cpu'}))
        try:
            received = answers(node, kinds, bag, lambda: process.poll() is None)
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(TIMEOUT_S)
    assert status == 0
    assert received['/car/surround/occupancy/points'][0].header.frame_id == 'base_link'
    assert 'surround: camera front' in {s.name for s in received['/diagnostics'][0].status}
    log = launcher.node_file('out').read_text() + launcher.node_file('err').read_text()
    assert 'model mock 0.1.0' in log
    assert 'Traceback' not in log
    with pytest.raises(ProcessLookupError):
        os.kill(int(launcher.node_file('pid').read_text()), 0)


def started(launcher, *arguments):
    try:
        return launcher.start(*arguments)
    except (OSError, RuntimeError) as error:
        pytest.skip(f'play_launch does not run here: {error}')


@contextmanager
def observer():
    """A node of the test's own."""
    import rclpy

    rclpy.init(args=[], signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    node = rclpy.create_node('observer')
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def answers(node, kinds, bag, alive):
    """Play the drive under its own topics until there is an answer of each kind; return them."""
    received = {topic: [] for topic in kinds}
    for topic, kind in kinds.items():
        node.create_subscription(kind, topic, received[topic].append, 10)
    publishers = publishers_of(node, bag)
    spin_until(node, lambda: all(p.get_subscription_count() for p in publishers.values()), alive)
    for message in bag.messages(list(publishers)):
        publishers[message.topic].publish(message.raw)
        spin_once(node, 0.01)
        if all(received.values()):
            break
    spin_until(node, lambda: all(received.values()), alive)
    return received


def publishers_of(node, bag):
    """Return a publisher for each topic that a replay plays, under the name it has in the bag."""
    from selfocc_ros.transport import latched_qos, reliable_qos

    def message_class(type_name):
        package, _, name = type_name.split('/')
        return getattr(importlib.import_module(f'{package}.msg'), name)

    return {
        topic: node.create_publisher(
            message_class(bag.topics[topic]),
            topic,
            latched_qos() if topic == '/tf_static' else reliable_qos(),
        )
        for topic in topics_of_drive(bag)
    }


def spin_until(node, condition, alive):
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert alive(), 'the launcher has ended'
        assert time.monotonic() < deadline_s, 'it did not happen'
        spin_once(node, 0.05)


def spin_once(node, seconds):
    import rclpy

    rclpy.spin_once(node, timeout_sec=seconds)
