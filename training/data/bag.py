"""Recorded drives as training clips: the user's own rosbag2."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from selfocc_core.bag_messages import decode_compressed, decode_raw, stamp_ns_of
from selfocc_core.bags import BagMessage, BagReader
from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import Image
from selfocc_core.rig_from_bag import rig_from_bag
from selfocc_core.synchronizer import SynchronizedSet, Synchronizer
from selfocc_core.trajectory_from_bag import trajectory_from_bag
from training.config import InputConfig
from training.data.clip import Clip
from training.data.network_images import NetworkImages


def read_clip(path: Path, config: InputConfig) -> Clip:
    """Read a drive: images, camera_info, /tf_static and /odometry.

    Only complete frame sets are used.

    Raises:
        SelfOccError: The bag lacks a topic or is damaged, its rig does not fit the network, or
            it has fewer than three complete frame sets.
    """
    rig = rig_from_bag(path)
    if len(rig) != config.cameras:
        raise SelfOccError(
            f'bag {path} has {len(rig)} cameras, the preset takes {config.cameras}: choose '
            'another preset or record all cameras'
        )
    preprocessors = {camera.name: NetworkImages(camera, config) for camera in rig}
    sets = [s for s in _frame_sets(path, rig, preprocessors) if len(s.payloads) == len(rig)]
    if len(sets) < 3:
        raise SelfOccError(f'bag {path} has {len(sets)} complete frame sets, training needs three')
    return _to_clip(path, rig, preprocessors, sets)


def _frame_sets(
    path: Path, rig: Rig, preprocessors: dict[str, NetworkImages]
) -> list[SynchronizedSet[tuple[Image, Image]]]:
    synchronizer: Synchronizer[tuple[Image, Image]] = Synchronizer(rig.names)
    sets = []
    with BagReader(path) as bag:
        topics = {_image_topic(bag, name): name for name in rig.names}
        for message in bag.messages(list(topics)):
            camera = topics[message.topic]
            stamp_ns, image = _decode(message)
            images = preprocessors[camera](image)
            sets += synchronizer.push(camera, stamp_ns, images, message.stamp_ns)
        sets += synchronizer.poll(bag.end_ns + 10**10)
    return sets


def _image_topic(bag: BagReader, camera: str) -> str:
    raw = f'/camera/{camera}/image'
    topic = raw if raw in bag.topics else f'{raw}/compressed'
    bag.require([topic])
    return topic


def _decode(message: BagMessage) -> tuple[int, Image]:
    decoded = message.decode()
    compressed = message.type.endswith('CompressedImage')
    image = decode_compressed(decoded) if compressed else decode_raw(decoded)
    return stamp_ns_of(decoded), image


def _to_clip(
    path: Path,
    rig: Rig,
    preprocessors: dict[str, NetworkImages],
    sets: list[SynchronizedSet[tuple[Image, Image]]],
) -> Clip:
    with BagReader(path) as bag:
        trajectory = trajectory_from_bag(bag)
    of_cameras = [preprocessors[name] for name in rig.names]
    images = np.stack([[s.payloads[name][0] for name in rig.names] for s in sets])
    supervision_images = (
        images
        if of_cameras[0].are_equal
        else np.stack([[s.payloads[name][1] for name in rig.names] for s in sets])
    )
    return Clip(
        name=path.name,
        stamps_ns=np.array([s.stamp_ns for s in sets], np.int64),
        images=images,
        supervision_images=supervision_images,
        input_from_ego=np.stack([p.input.input_from_ego for p in of_cameras]),
        supervision_from_ego=np.stack([p.supervision.input_from_ego for p in of_cameras]),
        world_from_ego=np.stack([trajectory.at(s.stamp_ns) for s in sets]),
        world_from_ego_at_shutter=np.stack(
            [[trajectory.at(s.stamps_ns[name]) for name in rig.names] for s in sets]
        ),
    )
