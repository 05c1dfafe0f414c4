"""Start the surround node, ready for large images, and RViz if wanted.

ros2 launch selfocc_ros surround.launch.py image_topic:=/sensing/{camera}/image_raw rviz:=true

Only what Humble, Jazzy and Kilted have in common is used. So the node itself goes through its
lifecycle (parameter autostart): launch_ros of Humble cannot, an event sent by hand is lost if the
node is slower than the sender, and neither would bring a respawned node back to work.
"""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.launch_context import LaunchContext
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from selfocc_core.backends.selection import AUTO, BACKENDS
from selfocc_core.engine.parity import PRECISIONS
from selfocc_core.node_inputs import cameras_in_parameters, remappings
from selfocc_ros.transport import config_file, large_message_environment

_BOOLEAN = ['true', 'false']
# Empty means: as the parameter file says.
_OVERRIDES = ('rig_file', 'model', 'backend', 'engine_precision', 'image_transport')
_RESPAWN_DELAY_S = 2.0


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the environment for large images, the node and RViz."""
    return LaunchDescription(
        [
            *_arguments_of_node(),
            *_arguments_of_inputs(),
            *_arguments_of_process(),
            *(SetEnvironmentVariable(n, v) for n, v in large_message_environment().items()),
            OpaqueFunction(function=_surround_node),
            Node(
                package='rviz2',
                executable='rviz2',
                # The topics in the file are relative: they follow the node into its namespace.
                namespace=LaunchConfiguration('namespace'),
                arguments=['-d', str(config_file('surround.rviz'))],
                parameters=[{'use_sim_time': LaunchConfiguration('use_sim_time')}],
                condition=IfCondition(LaunchConfiguration('rviz')),
            ),
        ]
    )


def _arguments_of_node() -> list[DeclareLaunchArgument]:
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
            'backend',
            default_value='',
            choices=['', AUTO, *BACKENDS],
            description='Inference runtime; empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'engine_precision',
            default_value='',
            choices=['', *PRECISIONS],
            description='Precision of a TensorRT engine; empty: as in params_file.',
        ),
        DeclareLaunchArgument(
            'use_sim_time',
            default_value='false',
            choices=_BOOLEAN,
            description='Take the time from /clock, as when a bag is played.',
        ),
    ]


def _arguments_of_inputs() -> list[DeclareLaunchArgument]:
    return [
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
        DeclareLaunchArgument(
            'image_topic',
            default_value='',
            description='Topic of the images, {camera} for the name of the camera and without '
            '/compressed, for example /sensing/{camera}/image_raw; camera_info is expected beside '
            'it. Empty: ~/input/{camera}/image.',
        ),
        DeclareLaunchArgument(
            'odometry_topic',
            default_value='',
            description='Topic of the odometry; empty: ~/input/odometry.',
        ),
    ]


def _arguments_of_process() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            'namespace', default_value='', description='Namespace of the node and of RViz.'
        ),
        DeclareLaunchArgument(
            'autostart',
            default_value='true',
            choices=_BOOLEAN,
            description='Configure and activate at once; false: a lifecycle manager does it.',
        ),
        DeclareLaunchArgument(
            'respawn',
            default_value='true',
            choices=_BOOLEAN,
            description='Start the node again two seconds after it died, for whatever reason.',
        ),
        DeclareLaunchArgument(
            'log_level',
            default_value='info',
            choices=['debug', 'info', 'warn', 'error', 'fatal'],
            description='What the node logs.',
        ),
        DeclareLaunchArgument(
            'rviz', default_value='false', choices=_BOOLEAN, description='Open RViz as well.'
        ),
    ]


def _surround_node(context: LaunchContext) -> list[Node]:
    def value(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    given = tuple(name.strip() for name in value('cameras').split(',') if name.strip())
    overrides: dict[str, object] = {name: value(name) for name in _OVERRIDES if value(name)}
    overrides |= {'cameras': list(given)} if given else {}
    overrides |= {name: value(name) == 'true' for name in ('autostart', 'use_sim_time')}
    cameras = given or cameras_in_parameters(value('params_file'))
    node = Node(
        package='selfocc_ros',
        executable='surround_node',
        name='surround',
        namespace=value('namespace'),
        parameters=[value('params_file'), overrides],
        remappings=remappings(cameras, value('image_topic'), value('odometry_topic')),
        arguments=['--ros-args', '--log-level', value('log_level')],
        output='screen',
        emulate_tty=True,
        respawn=value('respawn') == 'true',
        respawn_delay=_RESPAWN_DELAY_S,
    )
    return [node]
