"""A colcon build of the checkout puts everything where ``ros2`` looks for it, and it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[1]
PACKAGED = (
    'selfocc_core', 'selfocc_ros', 'training', 'launch', 'config', 'resource',
    'package.xml', 'setup.py', 'setup.cfg',
)  # fmt: skip
COLCON = ('colcon-core', 'colcon-ros', 'colcon-python-setup-py')


@pytest.fixture(scope='module')
def colcon(tmp_path_factory):
    """The colcon on the path, or one from PyPI in an environment of its own.

    It wants an older setuptools than ours, hence the own environment.
    """
    found = shutil.which('colcon')
    if found:
        return found
    environment = tmp_path_factory.mktemp('colcon')
    venv.create(environment, with_pip=True)
    command = [environment / 'bin' / 'pip', 'install', '--quiet', *COLCON]
    if subprocess.run(command, env=plain_environment(), check=False).returncode != 0:
        pytest.skip('colcon is neither installed nor can it be fetched')
    return str(environment / 'bin' / 'colcon')


@pytest.fixture(scope='module')
def installed(colcon, tmp_path_factory):
    """Where the package lies after a build."""
    workspace = tmp_path_factory.mktemp('workspace')
    source = workspace / 'src' / 'selfocc_ros'
    source.mkdir(parents=True)
    for name in PACKAGED:
        copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
        copy(CHECKOUT / name, source / name)
    built = subprocess.run(
        [colcon, 'build', '--event-handlers', 'console_direct+'],
        cwd=workspace,
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return workspace / 'install' / 'selfocc_ros'


def plain_environment():
    """Our environment without what makes another Python load our ROS libraries."""
    ours = ('LD_LIBRARY_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'PYTHONPATH')
    return {name: value for name, value in os.environ.items() if name not in ours}


@pytest.mark.parametrize(
    'path',
    [
        'lib/selfocc_ros/surround_node',
        'lib/selfocc_ros/selfocc',
        'share/selfocc_ros/launch/surround.launch.py',
        'share/selfocc_ros/launch/replay.launch.py',
        'share/selfocc_ros/config/surround.yaml',
        'share/selfocc_ros/config/surround.rviz',
        'share/selfocc_ros/config/surround_foxglove.json',
        'share/selfocc_ros/config/fastdds_large_data.xml',
        'share/selfocc_ros/package.xml',
        'share/ament_index/resource_index/packages/selfocc_ros',
    ],
)
def test_ros2_finds(installed, path):
    assert (installed / path).is_file()


def test_the_executables_are_executable_by_any_python_3(installed):
    for program in (installed / 'lib' / 'selfocc_ros').iterdir():
        assert os.access(program, os.X_OK)
        assert program.read_text().startswith('#!/usr/bin/env python3')


def test_models_and_type_markers_are_packaged(installed):
    (packages,) = installed.glob('lib/python3*/site-packages')
    for model in (CHECKOUT / 'selfocc_core' / 'models').glob('*.*'):
        assert (packages / 'selfocc_core' / 'models' / model.name).is_file()
    for package in ('selfocc_core', 'selfocc_ros', 'training'):
        assert (packages / package / 'py.typed').is_file()


@pytest.mark.ros
def test_the_built_node_runs(installed, tmp_path):
    pytest.importorskip('rclpy')
    pytest.importorskip('onnx')
    sys.path.insert(0, str(Path(__file__).parent))
    from mock_model import write_mock_model

    from selfocc_core.cameras import nuscenes_like_rig

    nuscenes_like_rig(64, 36).to_yaml(tmp_path / 'rig.yaml')
    parameters = {
        'autostart': 'true',
        'rig_file': tmp_path / 'rig.yaml',
        'model': write_mock_model(tmp_path / 'mock.onnx'),
    }
    given = ' '.join(f'-p {name}:={value}' for name, value in parameters.items())
    setup = installed.parent / 'local_setup.sh'
    node = installed / 'lib' / 'selfocc_ros' / 'surround_node'
    script = (
        f'. {setup} && python3 -c "import selfocc_ros; print(selfocc_ros.__file__)" && '
        f'exec {node} --ros-args {given}'
    )
    python_first = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    environment = {**plain_environment(), 'PATH': python_first, 'ROS_DOMAIN_ID': '97'}
    log = tmp_path / 'log'
    with log.open('wb') as stream:
        process = subprocess.Popen(
            ['sh', '-c', script],
            cwd=tmp_path,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    deadline_s = time.monotonic() + 60
    while 'model mock 0.1.0' not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.1)
    process.terminate()
    assert process.wait(20) == 0
    assert log.read_text().startswith(str(installed))
