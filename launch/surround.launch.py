"""Start the surround node, ready for large images.

ros2 launch selfocc_ros surround.launch.py rig_file:=/path/to/rig.yaml rviz:=true
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from selfocc_ros.transport import config_file, large_message_environment

_BOOLEAN = ['true', 'false']
# Empty means: as the parameter file says.
_OVERRIDES = ('rig_file', 'model', 'image_transport')


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the environment for large images, the node and RViz."""
    return LaunchDescription(
        [
            *_arguments(),
            *(SetEnvironmentVariable(n, v) for n, v in large_message_environment().items()),
            OpaqueFunction(function=_surround_node),
            Node(
                package='rviz2',
                executable='rviz2',
                arguments=['-d', str(config_file('surround.rviz'))],
                condition=IfCondition(LaunchConfiguration('rviz')),
            ),
        ]
    )


def _arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            'params_file',
            default_value=str(config_file('surround.yaml')),
            description='YAML file with parameters of the node; the arguments below win over it.',
        ),
        DeclareLaunchArgument(
            'rig_file',
            default_value='',
            description='Calibration of all cameras (YAML); empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'model',
            default_value='',
            description='Model file (.onnx, its card beside it); empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'cameras',
            default_value='',
            description='Camera names, separated by commas, the anchor first; '
            'empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'image_transport',
            default_value='',
            choices=['', 'raw', 'compressed'],
            description='How images arrive; empty: as in params_file.',
        ),
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the node.'),
        DeclareLaunchArgument(
            'use_sim_time',
            default_value='false',
            choices=_BOOLEAN,
            description='Take the time of diagnostics from /clock, as when a bag is played.',
        ),
        DeclareLaunchArgument(
            'autostart',
            default_value='true',
            choices=_BOOLEAN,
            description='Configure and activate at once; false: a lifecycle manager does it.',
        ),
        DeclareLaunchArgument(
            'log_level',
            default_value='info',
            choices=['debug', 'info', 'warn', 'error'],
            description='What the node logs.',
        ),
        DeclareLaunchArgument(
            'rviz', default_value='false', choices=_BOOLEAN, description='Open RViz as well.'
        ),
    ]


def _surround_node(context: LaunchContext) -> list[Node]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    overrides: dict[str, object] = {name: value(name) for name in _OVERRIDES if value(name)}
    if value('cameras'):
        overrides['cameras'] = [name.strip() for name in value('cameras').split(',')]
    for name in ('autostart', 'use_sim_time'):
        overrides[name] = value(name) == 'true'
    node = Node(
        package='selfocc_ros',
        executable='surround_node',
        name='surround',
        namespace=value('namespace'),
        parameters=[value('params_file'), overrides],
        arguments=['--ros-args', '--log-level', value('log_level')],
        output='screen',
        emulate_tty=True,
    )
    return [node]
