"""The launch files and what they name, as far as every installation can show it.

Everywhere: they compile, document their arguments, and what they give the node works in a real
process. test_launch_evaluated.py runs them with another launcher than ROS's; where launch_ros is
installed, they are loaded and evaluated here.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_drive import START_NS, small_rig, write_small_drive

from selfocc_core.node_inputs import remappings

CHECKOUT = Path(__file__).parents[2]
LAUNCH, CONFIG = CHECKOUT / 'launch', CHECKOUT / 'config'
ARGUMENTS = {
    'surround.launch.py': {
        'params_file', 'rig_file', 'model', 'backend', 'engine_precision', 'use_sim_time',
        'cameras', 'image_transport', 'image_topic', 'odometry_topic', 'namespace', 'autostart',
        'respawn', 'log_level', 'rviz',
    },
    'replay.launch.py': {
        'bag', 'rate', 'loop', 'start_paused', 'delay', 'play_arguments', 'rviz',
    },
}  # fmt: skip
SWITCHES = {'use_sim_time', 'autostart', 'respawn', 'rviz', 'loop', 'start_paused'}
RVIZ_CLASSES = {
    'rviz_default_plugins/PointCloud2': 'PointCloud2',
    'rviz_default_plugins/Map': 'OccupancyGrid',
    'rviz_default_plugins/Image': 'Image',
}


def declared_arguments(name):
    """Yield the name of each argument of a launch file and what is said of it."""
    path = LAUNCH / name
    tree = ast.parse(path.read_text(), str(path))
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, 'id', '') == 'DeclareLaunchArgument':
            yield call.args[0].value, {keyword.arg: keyword.value for keyword in call.keywords}


@pytest.mark.parametrize('name', ARGUMENTS)
def test_every_argument_is_documented(name):
    compile((LAUNCH / name).read_text(), name, 'exec')
    declared = dict(declared_arguments(name))
    assert set(declared) == ARGUMENTS[name]
    for argument, said in declared.items():
        assert ast.literal_eval(said['description']).endswith('.')
        assert 'default_value' in said or argument == 'bag'
        assert (getattr(said.get('choices'), 'id', '') == '_BOOLEAN') == (argument in SWITCHES)


def test_they_name_files_that_exist():
    pytest.importorskip('rclpy')
    from selfocc_ros.transport import config_file, large_message_environment

    for name in ('surround.yaml', 'surround.rviz'):
        assert f"config_file('{name}')" in (LAUNCH / 'surround.launch.py').read_text()
        assert config_file(name).is_file()
    assert "'surround.launch.py'" in (LAUNCH / 'replay.launch.py').read_text()
    environment = large_message_environment()
    assert Path(environment['FASTRTPS_DEFAULT_PROFILES_FILE']).is_file()
    assert {'FASTDDS_DEFAULT_PROFILES_FILE', 'MALLOC_MMAP_THRESHOLD_'} <= set(environment)


@pytest.mark.ros
def test_their_arguments_start_the_node_in_a_namespace(own_domain, mock_model, tmp_path):
    rclpy = pytest.importorskip('rclpy')
    from running_node import wait_until

    from selfocc_ros.node_process import ros_arguments, write_parameters

    small_rig().to_yaml(tmp_path / 'rig.yaml')
    given = {'model': str(mock_model), 'rig_file': str(tmp_path / 'rig.yaml'), 'autostart': True}
    write_parameters(tmp_path / 'overrides.yaml', {**given, 'cameras': ['back', 'front']})
    arguments = ros_arguments(tmp_path / 'overrides.yaml', namespace='/car')
    rules = remappings(['back', 'front'], '/sensing/{camera}/image_raw', '')
    remaps = [part for ours, theirs in rules for part in ('-r', f'{ours}:={theirs}')]
    command = [sys.executable, '-m', 'selfocc_ros.surround_node', *arguments, *remaps]
    rclpy.init(args=[], signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    node = rclpy.create_node('observer')
    process = subprocess.Popen([*command, '--ros-args', '--log-level', 'warn'])
    try:
        wait_until(lambda: node.count_publishers('/car/surround/occupancy/points'))
        wait_until(lambda: node.count_subscribers('/sensing/front/image_raw'))
        assert node.count_subscribers('/car/surround/input/front/image') == 0
        assert node.count_subscribers('/sensing/back_left/image_raw') == 0
        assert node.count_publishers('/car/surround/back/depth/camera_info') == 1
    finally:
        process.terminate()
        node.destroy_node()
        rclpy.try_shutdown()
    assert process.wait(20) == 0


def rviz_displays():
    """Return what RViz is told to show: of each topic its class and its QoS."""
    manager = yaml.safe_load((CONFIG / 'surround.rviz').read_text())['Visualization Manager']
    assert manager['Global Options']['Fixed Frame'] == 'base_link'
    return {d['Topic']['Value']: d for d in manager['Displays'] if 'Topic' in d}


@pytest.mark.ros
def test_rviz_would_receive_all_that_it_shows(running_node):
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    displays = rviz_displays()
    node = running_node()
    received = {topic: [] for topic in displays}
    for topic, display in displays.items():
        wanted = display['Topic']
        quality = QoSProfile(
            depth=wanted['Depth'],
            reliability=ReliabilityPolicy[wanted['Reliability Policy'].upper().replace(' ', '_')],
            durability=DurabilityPolicy[wanted['Durability Policy'].upper().replace(' ', '_')],
        )
        message_class = message_classes()[RVIZ_CLASSES[display['Class']]]
        node.node.create_subscription(message_class, f'/{topic}', received[topic].append, quality)
    node.listen_to_all()
    node.wait_until_ready()
    node.publish_set(START_NS)
    node.wait_for(lambda: all(received.values()))
    cloud = received['surround/occupancy/points'][0]
    assert cloud.header.frame_id == 'base_link'
    assert 'rgb' in {field.name for field in cloud.fields}


def message_classes():
    from nav_msgs.msg import OccupancyGrid
    from sensor_msgs.msg import Image, PointCloud2

    return {kind.__name__: kind for kind in (Image, OccupancyGrid, PointCloud2)}


@pytest.mark.ros
def test_the_foxglove_layout_shows_what_the_node_publishes(running_node):
    layout = json.loads((CONFIG / 'surround_foxglove.json').read_text())
    panels = layout['configById']
    assert set(panels_in(layout['layout'])) == set(panels)
    scene = panels['3D!surround']
    assert scene['followTf'] == 'base_link'
    images = [panel['imageMode'] for name, panel in panels.items() if name.startswith('Image!')]
    topics = (image[key] for image in images for key in ('imageTopic', 'calibrationTopic'))
    shown = {*scene['topics'], *topics}
    camera = {'/camera/front/image/compressed', '/camera/front/camera_info'}
    assert camera <= shown  # as in the drives that we write
    node = running_node()
    node.wait_until_ready()
    voxels = {'/surround/occupancy/voxel_grid'}  # only where nav2_msgs is installed
    assert all(node.node.count_publishers(topic) == 1 for topic in shown - camera - voxels)
    assert panels['DiagnosticSummary!surround']['topicToRender'] == '/diagnostics'


def panels_in(tree):
    """Return the panels of a Foxglove layout, left to right and top to bottom."""
    if isinstance(tree, str):
        return [tree]
    return [*panels_in(tree['first']), *panels_in(tree['second'])]


def loaded(name):
    """Return a launch file as a module; skips where launch_ros is not installed."""
    pytest.importorskip('launch_ros')
    spec = importlib.util.spec_from_file_location(name.partition('.')[0], LAUNCH / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context_of(module, arguments):
    """Return a launch context in which the arguments of a launch file are set."""
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    for entity in module.generate_launch_description().entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    return context


@pytest.mark.parametrize('name', ARGUMENTS)
def test_launch_ros_knows_the_arguments(name):
    entities = loaded(name).generate_launch_description().entities
    from launch.actions import DeclareLaunchArgument

    declared = [entity for entity in entities if isinstance(entity, DeclareLaunchArgument)]
    assert {argument.name for argument in declared} == ARGUMENTS[name]


def test_launch_ros_evaluates_the_node():
    module = loaded('surround.launch.py')
    arguments = {'cameras': 'left,right', 'image_topic': '/sensing/{camera}/image_raw'}
    (node,) = module._surround_node(context_of(module, arguments))
    assert node.node_executable == 'surround_node'
    assert len(node._Node__remappings) == 6


def test_launch_ros_evaluates_the_replay(tmp_path):
    module = loaded('replay.launch.py')
    drive = write_small_drive(tmp_path / 'drive.mcap', sets=2)
    *settings, player = module._player(context_of(module, {'bag': str(drive)}))
    assert len(settings) == 4
    words = [part.text for word in player.cmd for part in word]
    assert words[:4] == ['ros2', 'bag', 'play', str(drive)]
    assert '/camera/front/image/compressed' in words
