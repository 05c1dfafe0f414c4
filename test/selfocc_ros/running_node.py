"""The node in its own process, and a node of the test that talks to it."""

from __future__ import annotations

import time
from collections import defaultdict

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import OccupancyGrid, Odometry
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from small_drive import small_rig

from selfocc_ros.conversions import header, message_bytes
from selfocc_ros.diagnostics import values_of
from selfocc_ros.node_process import NodeProcess, write_parameters
from selfocc_ros.transport import reliable_qos

TIMEOUT_S = 30.0
CONFIGURE = Transition.TRANSITION_CONFIGURE
ACTIVATE = Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE
CLEANUP = Transition.TRANSITION_CLEANUP


def wait_until(condition, timeout_s=TIMEOUT_S):
    """Wait for something that needs no spinning."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, 'it did not happen'
        time.sleep(0.05)


def image_message(pixels, frame_id=''):
    height, width = pixels.shape[:2]
    return Image(
        header=header(0, frame_id),
        height=height,
        width=width,
        encoding='rgb8',
        step=3 * width,
        data=message_bytes(pixels),
    )


class RunningNode:
    def __init__(self, folder, parameters):
        write_parameters(folder / 'parameters.yaml', parameters)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node('test_client')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.log_file = folder / 'node.log'
        self.process = NodeProcess(folder / 'parameters.yaml', self.log_file)
        self.process.__enter__()
        self.status = None
        self.images_made, self.clients = 0, {}
        self.rig = small_rig()
        self.received = defaultdict(list)
        self.listen(DiagnosticArray, '/diagnostics')
        self.images = {
            c.name: self.node.create_publisher(
                Image, f'/surround/input/{c.name}/image', reliable_qos()
            )
            for c in self.rig
        }
        self.odometry = self.node.create_publisher(
            Odometry, '/surround/input/odometry', reliable_qos()
        )

    def listen(self, message_type, topic):
        self.node.create_subscription(
            message_type, topic, self.received[topic].append, reliable_qos(50)
        )

    def listen_to_all(self):
        self.listen(PointCloud2, '/surround/occupancy/points')
        self.listen(OccupancyGrid, '/surround/occupancy/grid')
        for camera in self.rig.names:
            self.listen(Image, f'/surround/{camera}/depth/image')
            self.listen(CameraInfo, f'/surround/{camera}/depth/camera_info')

    def wait_for(self, condition, timeout_s=TIMEOUT_S):
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f'no answer; the node said:\n{self.log}'
            self.executor.spin_once(timeout_sec=0.05)

    def spin_for(self, seconds):
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left_s)

    def wait_until_ready(self):
        """Wait until all topics are matched both ways."""
        topics = list(self.received)
        self.wait_for(lambda: all(p.get_subscription_count() for p in self.images.values()))
        self.wait_for(lambda: all(self.node.count_publishers(topic) for topic in topics))
        self.wait_for(lambda: self.received['/diagnostics'])

    def publish_set(self, stamp_ns, cameras=None, offset_ns=2_000_000, size=None):
        """Publish images, each camera a little after the one before."""
        for index, (name, message) in enumerate(self.image_messages(size).items()):
            if cameras is None or name in cameras:
                message.header.stamp = header(stamp_ns + index * offset_ns, '').stamp
                self.images[name].publish(message)

    def image_messages(self, size=None):
        """Return an image for each camera, of its own size or a given one; no two are equal."""
        self.images_made += 1
        messages = {}
        for index, camera in enumerate(self.rig):
            height, width = size or (camera.height, camera.width)
            pixels = np.full((height, width, 3), 40 * index + 10, np.uint8)
            pixels[: height // 4] += self.images_made % 50
            messages[camera.name] = image_message(pixels, camera.frame_id)
        return messages

    def call(self, service_type, name, request):
        future = self.client(service_type, name).call_async(request)
        self.wait_for(future.done)
        return future.result()

    def client(self, service_type, name):
        """Return a client whose answers come through: DDS may know one way before the other."""
        if name not in self.clients:
            self.clients[name] = self.node.create_client(service_type, f'/surround/{name}')
            self.wait_for(self.clients[name].service_is_ready)
            self.spin_for(0.5)
        return self.clients[name]

    def change_state(self, transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, 'change_state', request).success

    def state(self):
        return self.call(GetState, 'get_state', GetState.Request()).current_state.label

    def set_parameter(self, name, **value):
        kinds = {
            'string_value': ParameterType.PARAMETER_STRING,
            'double_value': ParameterType.PARAMETER_DOUBLE,
        }
        typed = ParameterValue(type=kinds[next(iter(value))], **value)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=typed)])
        return self.call(SetParameters, 'set_parameters', request).results[0]

    def account(self, suffix=': inference'):
        return values_of(self.received['/diagnostics'][-1], suffix)

    def status_of(self, suffix):
        """Return level and message of the newest status whose name ends with ``suffix``."""
        for status in self.received['/diagnostics'][-1].status:
            if status.name.endswith(suffix):
                return status.level, status.message
        return None

    @property
    def log(self):
        return self.log_file.read_text()

    def stop(self, stop_signal):
        """Send a signal and return the exit status."""
        self.process.process.send_signal(stop_signal)
        self.status = self.process.process.wait(20)
        return self.status

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()
        if self.status is None:
            self.process.__exit__(None, None, None)
