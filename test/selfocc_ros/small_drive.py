"""A short recorded drive with plain images, for tests of the node."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from selfocc_core import bag_messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.transforms import transform_from_quaternion

START_NS = 1_700_000_000 * 10**9
PERIOD_NS = 100_000_000
# Shutter times of the cameras after the anchor's, as they come on a rig with staggered cameras.
OFFSETS_NS = (0, 8_000_000, -9_000_000, 38_000_000, 24_000_000, -21_000_000)


def small_rig() -> Rig:
    """Return six cameras with small images."""
    return nuscenes_like_rig(width=176, height=96)


def write_small_drive(path: Path, sets: int = 10, rig: Rig | None = None) -> Path:
    """Write a drive of some frame sets at 10 Hz with odometry at 50 Hz."""
    rig = rig or small_rig()
    events = [*_image_events(rig, sets), *_odometry_events(sets)]
    with BagWriter(path) as bag:
        transforms = [
            bag_messages.transform_stamped('base_link', c.frame_id, c.ego_from_camera, START_NS)
            for c in rig
        ]
        bag.write('/tf_static', bag_messages.tf_message(transforms), START_NS - PERIOD_NS)
        for stamp_ns, topic, message in sorted(events, key=lambda event: event[:2]):
            bag.write(topic, message, stamp_ns)
    return path


def _image_events(rig, sets):
    generator = np.random.default_rng(3)
    for index in range(sets):
        for camera, offset_ns in zip(rig, OFFSETS_NS, strict=True):
            stamp_ns = START_NS + index * PERIOD_NS + offset_ns
            image = generator.integers(0, 255, (camera.height, camera.width, 3)).astype(np.uint8)
            topic = f'/camera/{camera.name}'
            message = bag_messages.compressed_image(image, stamp_ns, camera.frame_id)
            yield stamp_ns, f'{topic}/image/compressed', message
            yield stamp_ns, f'{topic}/camera_info', bag_messages.camera_info(camera, stamp_ns)


def _odometry_events(sets):
    for tick in range(-5, 5 * sets + 5):
        stamp_ns = START_NS + tick * 20_000_000
        pose = transform_from_quaternion((0.1 * tick, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        message = bag_messages.odometry('odom', pose, (5.0, 0.0, 0.0), (0.0, 0.0, 0.0), stamp_ns)
        yield stamp_ns, '/odometry', message
