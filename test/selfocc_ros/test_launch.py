"""The launch file, as far as each installation can show it.

Everywhere: it compiles, documents its arguments, and the arguments that it gives the node work in
a real process. Where launch_ros is installed, it is loaded and evaluated as well.
"""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH_FILE = Path(__file__).parents[2] / 'launch' / 'surround.launch.py'
ARGUMENTS = {
    'params_file', 'rig_file', 'model', 'cameras', 'image_transport', 'namespace', 'use_sim_time',
    'autostart', 'log_level', 'rviz',
}  # fmt: skip


def declared_arguments():
    tree = ast.parse(LAUNCH_FILE.read_text(), str(LAUNCH_FILE))
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, 'id', '') == 'DeclareLaunchArgument':
            yield call.args[0].value, {keyword.arg for keyword in call.keywords}


def test_every_argument_is_documented_and_has_a_default():
    declared = dict(declared_arguments())
    assert set(declared) == ARGUMENTS
    assert all({'description', 'default_value'} <= given for given in declared.values())


def test_it_names_files_that_exist():
    pytest.importorskip('rclpy')
    from selfocc_ros.transport import config_file, large_message_environment

    for name in ('surround.yaml', 'surround.rviz'):
        assert f"config_file('{name}')" in LAUNCH_FILE.read_text()
        assert config_file(name).is_file()
    environment = large_message_environment()
    assert Path(environment['FASTRTPS_DEFAULT_PROFILES_FILE']).is_file()
    assert {'FASTDDS_DEFAULT_PROFILES_FILE', 'MALLOC_MMAP_THRESHOLD_'} <= set(environment)


@pytest.mark.ros
def test_its_arguments_start_the_node_in_a_namespace(own_domain, mock_model, tmp_path):
    rclpy = pytest.importorskip('rclpy')
    from running_node import wait_until
    from small_drive import small_rig

    from selfocc_ros.node_process import ros_arguments, write_parameters

    small_rig().to_yaml(tmp_path / 'rig.yaml')
    given = {'model': str(mock_model), 'rig_file': str(tmp_path / 'rig.yaml'), 'autostart': True}
    write_parameters(tmp_path / 'overrides.yaml', {**given, 'cameras': ['back', 'front']})
    arguments = ros_arguments(tmp_path / 'overrides.yaml', namespace='/car')
    command = [sys.executable, '-m', 'selfocc_ros.surround_node', *arguments]
    rclpy.init(args=[], signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    node = rclpy.create_node('observer')
    process = subprocess.Popen([*command, '--ros-args', '--log-level', 'warn'])
    try:
        wait_until(lambda: node.count_publishers('/car/surround/occupancy/points'))
        wait_until(lambda: node.count_subscribers('/car/surround/input/front/image'))
        assert node.count_subscribers('/car/surround/input/back_left/image') == 0
        assert node.count_publishers('/car/surround/back/depth/camera_info') == 1
    finally:
        process.terminate()
        node.destroy_node()
        rclpy.try_shutdown()
    assert process.wait(20) == 0


def test_launch_ros_evaluates_it():
    pytest.importorskip('launch_ros')
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable

    spec = importlib.util.spec_from_file_location('surround_launch', LAUNCH_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entities = module.generate_launch_description().entities
    declared = [entity for entity in entities if isinstance(entity, DeclareLaunchArgument)]
    assert {argument.name for argument in declared} == ARGUMENTS
    assert sum(isinstance(entity, SetEnvironmentVariable) for entity in entities) == 5
    context = LaunchContext()
    for argument in declared:
        argument.execute(context)
    (node,) = module._surround_node(context)
    assert node.node_executable == 'surround_node'
