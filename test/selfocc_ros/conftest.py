"""Real DDS between processes, kept apart from everything else on the machine."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
_counter = itertools.count()


@pytest.fixture(scope='session')
def mock_model(tmp_path_factory):
    pytest.importorskip('onnx')
    from mock_model import write_mock_model

    return write_mock_model(tmp_path_factory.mktemp('model') / 'mock.onnx')


@pytest.fixture
def own_domain(monkeypatch):
    """A ROS domain of this test alone."""
    pytest.importorskip('rclpy')
    from selfocc_ros.transport import large_message_environment

    domain = 1 + (os.getpid() + 17 * next(_counter)) % 100
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    for name, value in large_message_environment().items():
        monkeypatch.setenv(name, value)
    return domain


@pytest.fixture
def running_node(own_domain, mock_model, tmp_path):
    """A function that starts the node in its own process; it is stopped when the test ends."""
    from running_node import RunningNode
    from small_drive import small_rig

    rig_file = tmp_path / 'rig.yaml'
    small_rig().to_yaml(rig_file)
    started = []

    def start(**parameters):
        defaults = {'model': str(mock_model), 'rig_file': str(rig_file), 'autostart': True}
        started.append(RunningNode(tmp_path, {**defaults, **parameters}))
        return started[-1]

    yield start
    for node in started:
        node.close()
