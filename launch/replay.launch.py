"""Play a recorded drive into the surround node and look at it in RViz, in the time of the drive.

ros2 launch selfocc_ros replay.launch.py bag:=out/demo/drive.mcap rate:=0.5

Which cameras the drive has, and on which topics, is read from it. The arguments of
surround.launch.py can be given as well and win over that.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.launch_context import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from selfocc_core.bags import BagReader
from selfocc_core.node_inputs import arguments_of_drive, topics_of_drive
from selfocc_ros.transport import large_message_environment

if TYPE_CHECKING:
    from launch.action import Action

_BOOLEAN = ['true', 'false']
_CLOCK_HZ = 100
# Older versions of "ros2 bag" take a single file for sqlite3 unless told.
_STORAGES = {'.mcap': 'mcap', '.db3': 'sqlite3'}


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the player, and what surround.launch.py starts."""
    # A plain path, no substitution: --show-args then lists the arguments of that file as well.
    surround = str(Path(__file__).with_name('surround.launch.py'))
    return LaunchDescription(
        [
            *_arguments(),
            OpaqueFunction(function=_player),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(surround),
                launch_arguments={'use_sim_time': 'true'}.items(),
            ),
        ]
    )


def _arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            'bag', description='The drive: a .mcap or .db3 file, or a folder with metadata.yaml.'
        ),
        DeclareLaunchArgument(
            'rate', default_value='1.0', description='Pace: 2 is twice as fast as the drive.'
        ),
        DeclareLaunchArgument(
            'loop',
            default_value='false',
            choices=_BOOLEAN,
            description='Begin again at the end of the drive.',
        ),
        DeclareLaunchArgument(
            'start_paused',
            default_value='false',
            choices=_BOOLEAN,
            description='Wait for a call of the service /rosbag2_player/resume.',
        ),
        DeclareLaunchArgument(
            'delay',
            default_value='5.0',
            description='Seconds for the node to load its model, before each begin of the drive.',
        ),
        DeclareLaunchArgument(
            'play_arguments',
            default_value='',
            description='Further arguments of "ros2 bag play", for example "--start-offset 20".',
        ),
        DeclareLaunchArgument(
            'rviz', default_value='true', choices=_BOOLEAN, description='Open RViz as well.'
        ),
    ]


def _player(context: LaunchContext) -> list[Action]:
    given = context.launch_configurations
    cameras = [name.strip() for name in given.get('cameras', '').split(',') if name.strip()]
    with BagReader(given['bag']) as bag:
        arguments, topics = arguments_of_drive(bag, cameras), topics_of_drive(bag, cameras)
    settings = [
        SetLaunchConfiguration(name, value)
        for name, value in arguments.items()
        if not given.get(name)
    ]
    player = ExecuteProcess(
        cmd=['ros2', 'bag', 'play', given['bag'], *_options(context), '--topics', *topics],
        additional_env=large_message_environment(),
        output='screen',
    )
    return [*settings, player]


def _options(context: LaunchContext) -> list[str]:
    def value(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    storage = _STORAGES.get(Path(value('bag')).suffix)
    return [
        *(['--storage', storage] if storage else []),
        *('--clock', str(_CLOCK_HZ)),
        *('--rate', value('rate')),
        *('--delay', value('delay')),
        *(['--loop'] if value('loop') == 'true' else []),
        *(['--start-paused'] if value('start_paused') == 'true' else []),
        '--disable-keyboard-controls',
        *shlex.split(value('play_arguments')),
    ]
