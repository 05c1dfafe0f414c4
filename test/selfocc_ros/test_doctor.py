"""The doctor outside and inside a node, over real DDS."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from threading import Event, Thread

import pytest

pytest.importorskip('rclpy')
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.signals import SignalHandlerOptions
from running_node import wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from selfocc_core.doctor.finding import first_error
from selfocc_core.doctor.node_account import NodeAccount
from selfocc_core.doctor.node_check import diagnose
from selfocc_core.errors import SelfOccError
from selfocc_ros.doctor.command import Doctor
from selfocc_ros.doctor.inside import observe_inside
from selfocc_ros.doctor.outside import examine
from selfocc_ros.doctor.read_topics import read_topics
from selfocc_ros.parameters import NodeParameters
from selfocc_ros.transport import latched_qos, reliable_qos, sensor_qos

pytestmark = [pytest.mark.ros, pytest.mark.slow]

SECONDS = 8.0
INPUT = '/surround/input'


@contextmanager
def driving(node, cameras=None):
    """Publish images of now at 10 Hz meanwhile."""
    stopped = Event()

    def drive():
        while not stopped.wait(0.1):
            node.publish_set(time.time_ns(), cameras)

    thread = Thread(target=drive)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def reason(findings):
    found = first_error(findings)
    return None if found is None else str(found)


def test_a_healthy_node_has_no_error(running_node):
    node = running_node()
    node.listen_to_all()
    node.wait_until_ready()
    with driving(node):
        findings = examine('/surround', 30.0)
    assert reason(findings) is None
    assert findings[0].subject == 'node'
    assert '6 of 6 cameras at' in findings[0].sentence
    assert 'mock 0.1.0 on onnxruntime-cpu' in findings[0].sentence


def test_a_missing_topic_is_named_with_the_one_that_was_meant(running_node):
    node = running_node()
    node.listen_to_all()
    node.node.destroy_publisher(node.images.pop('front'))
    node.node.create_publisher(Image, '/camera/front/image_raw', sensor_qos())
    node.node.create_publisher(Image, '/camera/front_left/image_raw', sensor_qos())
    with driving(node, set(node.images)):
        told = reason(examine('/surround', SECONDS))
    assert told.startswith(
        f'camera front: nobody publishes {INPUT}/front/image: /camera/front/image_raw has its '
        f'images: start the node with --ros-args -r {INPUT}/front/image:=/camera/front/image_raw'
    )


def test_the_other_transport_is_recognised(running_node):
    node = running_node(image_transport='compressed')
    told = reason(examine('/surround', SECONDS))
    assert told.startswith(
        f'camera front: its images are raw, on {INPUT}/front/image, and the node takes compressed'
    )
    assert 'set the parameter image_transport to raw' in told
    assert node.process.process.poll() is None


def test_a_node_that_is_not_configured_is_told_why(running_node, tmp_path, capsys):
    running_node(autostart=False, model='/nowhere/model.onnx')
    file = tmp_path / 'findings.json'
    with pytest.raises(SelfOccError, match='configuration: there is no model at /nowhere'):
        Doctor(seconds=SECONDS, json=file).run()
    assert 'ERROR node: /surround is unconfigured: "ros2 lifecycle set' in capsys.readouterr().out
    levels = {f['subject']: f['level'] for f in json.loads(file.read_text())['findings']}
    assert levels['configuration'] == levels['node'] == 'error'
    assert levels['camera front'] == 'ok'


def test_quality_of_service_that_does_not_match_is_named(running_node):
    override = f'qos_overrides.{INPUT}/front/image.subscription.reliability'
    node = running_node(**{override: 'reliable'})
    node.node.destroy_publisher(node.images.pop('front'))
    node.node.create_publisher(Image, f'{INPUT}/front/image', sensor_qos())
    with driving(node, set(node.images)):
        told = reason(examine('/surround', SECONDS))
    assert told.startswith(f'camera front: /test_client publishes {INPUT}/front/image with a')
    assert 'best effort publisher and reliable subscription' in told


def test_a_listener_with_another_quality_of_service_is_named(running_node):
    node = running_node()
    node.node.create_subscription(OccupancyGrid, '/surround/occupancy/grid', print, latched_qos(1))
    node.wait_for(lambda: all(p.get_subscription_count() for p in node.images.values()))
    with driving(node):
        told = reason(examine('/surround', SECONDS))
    assert told.startswith('/surround/occupancy/grid: /test_client listens with a quality of')


def test_an_absent_node(own_domain):
    told = reason(examine('/surround', 0.5))
    assert told.startswith(f'node: there is no node /surround in ROS domain {own_domain}')


@pytest.fixture
def nodes(own_domain):
    """The node that looks at itself, and another."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    made = [rclpy.create_node('surround', namespace='/ego'), rclpy.create_node('driver')]
    yield made
    for node in made:
        node.destroy_node()
    rclpy.try_shutdown()


def account(**cameras):
    statuses = [
        DiagnosticStatus(
            name=f'surround: camera {name}',
            values=[KeyValue(key='received', value=str(received))],
        )
        for name, received in cameras.items()
    ]
    return DiagnosticArray(status=statuses)


def test_a_node_sees_the_same_of_itself(nodes):
    surround, driver = nodes
    parameters = NodeParameters(cameras=('front', 'back'), rig_file='rig.yaml')
    driver.create_publisher(Image, '/ego/surround/input/front/image', reliable_qos())
    driver.create_publisher(CompressedImage, '/cam/back/compressed', reliable_qos())
    wait_until(lambda: surround.count_publishers('/cam/back/compressed'))
    observation = observe_inside(surround, parameters, account(front=0, back=0))
    assert observation.node == '/ego/surround'
    assert observation.graph.infos == {}
    assert observation.transport.rmw.startswith('rmw_')
    told = {finding.subject: finding.sentence for finding in diagnose(observation)}
    assert told['camera back'].startswith(
        'nobody publishes /ego/surround/input/back/image: /cam/back/compressed has its images '
        'compressed'
    )
    assert told['camera front'].startswith(
        '/driver publishes /ego/surround/input/front/image, but'
    )


def test_remapped_topics_are_recognised_from_outside(nodes):
    surround, driver = nodes
    info, odometry = '/front_camera/camera_info', '/vehicle/odom'
    for kind, topic in ((Image, '/front_camera/image_raw'), (CameraInfo, info)):
        surround.create_subscription(kind, topic, print, sensor_qos())
    surround.create_subscription(Odometry, odometry, print, sensor_qos())
    wait_until(lambda: driver.count_subscribers(odometry))
    parameters = {
        'cameras': ['front', 'back'],
        'image_transport': 'raw',
        'motion_source': 'odometry',
        'rig_file': '',
    }
    said = {'camera back': {'topic': '/tail/picture'}}
    topics = read_topics(driver, '/ego/surround', parameters, NodeAccount(said, {}))
    assert topics.images == {'front': '/front_camera/image_raw', 'back': '/tail/picture'}
    assert topics.infos == {'front': info, 'back': '/ego/surround/input/back/camera_info'}
    assert topics.odometry == odometry
    fixed = parameters | {'rig_file': 'rig.yaml', 'motion_source': 'tf'}
    topics = read_topics(driver, '/ego/surround', fixed, NodeAccount({}, {}))
    assert (topics.infos, topics.odometry) == ({}, None)


def test_remapped_topics_are_followed(own_domain):
    remap = ['--ros-args', '-r', '~/input/front/image:=/camera/front/image_raw']
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('surround', cli_args=remap)
    parameters = NodeParameters(cameras=('front',))
    graph = observe_inside(node, parameters, account(front=0)).graph
    node.destroy_node()
    rclpy.try_shutdown()
    assert graph.images['front'].name == '/camera/front/image_raw'
    assert graph.infos['front'].name == f'{INPUT}/front/camera_info'
    assert graph.transforms.name == '/tf_static'
