"""Six raw 1600x900 cameras at 10 Hz, 250 MB/s, through the transport profile."""

from __future__ import annotations

import time

import pytest

pytest.importorskip('rclpy')
from small_drive import START_NS

from selfocc_core.cameras import nuscenes_like_rig

pytestmark = [pytest.mark.ros, pytest.mark.slow]

SETS = 60
PERIOD_S = 0.1


def test_the_node_receives_every_frame_set(running_node, tmp_path):
    rig = nuscenes_like_rig(1600, 900)
    rig.to_yaml(tmp_path / 'large.yaml')
    node = running_node(rig_file=str(tmp_path / 'large.yaml'), timeout_ms=2000.0)
    node.listen_to_all()
    node.wait_until_ready()
    node.rig = rig
    several = [node.image_messages() for _ in range(4)]
    begin_s = time.monotonic()
    for index in range(SETS):
        for camera, message in several[index % 4].items():
            message.header.stamp.sec = START_NS // 10**9 + index // 10
            message.header.stamp.nanosec = index % 10 * 10**8
            node.images[camera].publish(message)
        node.spin_for(max(0.0, begin_s + (index + 1) * PERIOD_S - time.monotonic()))
    node.wait_for(lambda: node.account()['in_progress'] == '0')
    node.wait_for(lambda: node.account()['frame_sets'] == str(SETS))
    account = node.account()
    received = [node.account(f': camera {name}')['received'] for name in rig.names]
    assert received == [str(SETS)] * len(rig)
    assert node.account(': synchronizer')['frame_sets_incomplete'] == '0'
    lost = sum(int(value) for key, value in account.items() if key.startswith('lost: '))
    assert int(account['published']) + lost + int(account['in_progress']) == SETS
