"""Message packages that are not everywhere: built here as upstream has them, and done without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
from running_node import wait_until
from small_drive import START_NS

INTERFACES = Path(__file__).parents[1] / 'ros_interfaces'
VOXELS = '/surround/occupancy/voxel_grid'
# The package is looked for where all others are, and is not there.
HIDING = """
import sys
from importlib.machinery import PathFinder


class WithoutPackage(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition('.')[0] == '{package}':
            return None
        return super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutPackage
"""


@pytest.fixture
def hide(monkeypatch, tmp_path):
    """A function that hides a package from the processes that the test starts."""

    def hide(package):
        (tmp_path / 'sitecustomize.py').write_text(HIDING.format(package=package))
        path = [str(tmp_path), *filter(None, [os.environ.get('PYTHONPATH')])]
        monkeypatch.setenv('PYTHONPATH', os.pathsep.join(path))

    return hide


def hash_on_the_wire(module, name, type_name):
    """Return the type hash with which a publisher of ours announces itself."""
    import rclpy

    message_class = getattr(pytest.importorskip(module), name)
    rclpy.init(args=[], signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    node = rclpy.create_node('publisher_of_a_type')
    try:
        node.create_publisher(message_class, '/typed', 1)
        wait_until(lambda: node.get_publishers_info_by_topic('/typed'))
        (info,) = node.get_publishers_info_by_topic('/typed')
        assert info.topic_type == type_name
        return str(info.topic_type_hash)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


@pytest.mark.ros
def test_tf2_msgs_is_the_type_that_others_publish(own_domain):
    from rosbags.typesys import Stores, get_typestore

    ours = hash_on_the_wire('tf2_msgs.msg', 'TFMessage', 'tf2_msgs/msg/TFMessage')
    assert ours == get_typestore(Stores.ROS2_JAZZY).hash_rihs01('tf2_msgs/msg/TFMessage')


@pytest.mark.ros
def test_nav2_msgs_is_the_type_that_others_publish(own_domain):
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    type_name = 'nav2_msgs/msg/VoxelGrid'
    definition = (INTERFACES / f'{type_name}.msg').read_text()
    typestore = get_typestore(Stores.ROS2_JAZZY)
    typestore.register(get_types_from_msg(definition, type_name))
    ours = hash_on_the_wire('nav2_msgs.msg', 'VoxelGrid', type_name)
    assert ours == typestore.hash_rihs01(type_name)


@pytest.mark.slow
def test_without_a_compiler_the_build_says_so_and_leaves_the_environment_alone(tmp_path):
    interfaces = pytest.importorskip('composition_interfaces')
    if not Path(interfaces.__file__).is_relative_to(sys.prefix):
        pytest.skip('ROS does not come from wheels here')
    environment = {**os.environ, 'CC': '/nowhere/cc', 'CXX': '/nowhere/c++'}
    built = subprocess.run(
        [sys.executable, INTERFACES / 'build.py'],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 1
    assert '/nowhere/c' in built.stderr
    assert 'the tests that need them will be skipped' in built.stderr
    assert 'Traceback' not in built.stderr
    again = [sys.executable, '-c', 'from tf2_msgs.msg import TFMessage; TFMessage()']
    assert subprocess.run(again, check=False).returncode == 0


@pytest.mark.ros
def test_without_rig_file_and_tf2_the_node_says_what_it_needs(hide, running_node):
    hide('tf2_msgs')
    node = running_node(rig_file='')
    node.status = node.process.process.wait(20)
    assert node.status == 1
    assert 'set the parameter rig_file' in node.log
    assert 'Traceback' not in node.log


@pytest.mark.ros
def test_without_nav2_all_but_the_voxel_grid_goes_out(hide, running_node):
    hide('nav2_msgs')
    node = running_node()
    node.listen_to_all()
    node.wait_until_ready()
    node.publish_set(START_NS)
    node.wait_for(lambda: node.received['/surround/occupancy/points'])
    assert node.node.count_publishers(VOXELS) == 0
