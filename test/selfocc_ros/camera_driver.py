"""One camera's driver as a process: ``camera_driver.py CAMERA AHEAD_NS``.

Its stamps are so many nanoseconds ahead of the wall clock.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import rclpy
from running_node import image_message
from sensor_msgs.msg import Image
from small_drive import small_rig

from selfocc_ros.conversions import header
from selfocc_ros.transport import reliable_qos

camera, ahead_ns = small_rig()[sys.argv[1]], int(sys.argv[2])
rclpy.init()
publisher = rclpy.create_node('driver').create_publisher(
    Image, f'/surround/input/{camera.name}/image', reliable_qos()
)
for index in itertools.count():
    pixels = np.full((camera.height, camera.width, 3), 100, np.uint8)
    pixels[:20] += np.uint8(index % 50)
    message = image_message(pixels, camera.frame_id)
    message.header.stamp = header(time.time_ns() + ahead_ns, '').stamp
    publisher.publish(message)
    time.sleep(0.05)
