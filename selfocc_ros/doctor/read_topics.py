"""Which topics a node reads, seen from outside: as they are called by default, or remapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.node import Node

from selfocc_core.doctor.node_account import NodeAccount
from selfocc_core.doctor.observation import (
    CAMERA_INFO,
    COMPRESSED,
    COMPRESSED_IMAGE,
    IMAGE,
    ODOMETRY,
)
from selfocc_core.doctor.topic_names import likely_topics
from selfocc_ros.doctor.graph import NodeTopics, full_name


def read_topics(
    node: Node, target: str, parameters: Mapping[str, Any], account: NodeAccount
) -> NodeTopics:
    """Return the topics that a node reads.

    Args:
        node: Who looks.
        target: Full name of the node that is looked at.
        parameters: Its parameters.
        account: What it says on ``/diagnostics``, maybe the topics of its cameras.
    """
    subscribed, cameras = _subscribed(node, target), parameters['cameras']
    compressed = parameters['image_transport'] == COMPRESSED
    image_type, suffix = (COMPRESSED_IMAGE, '/compressed') if compressed else (IMAGE, '')
    images = _remapped(f'{target}/input/{{}}/image{suffix}', cameras, subscribed, image_type)
    said = {camera: account.topic(camera) for camera in cameras}
    infos = f'{target}/input/{{}}/camera_info'
    return NodeTopics(
        node=target,
        images=images | {camera: topic for camera, topic in said.items() if topic},
        compressed=compressed,
        odometry=_odometry(f'{target}/input/odometry', subscribed)
        if parameters['motion_source'] == 'odometry'
        else None,
        infos={} if parameters['rig_file'] else _remapped(infos, cameras, subscribed, CAMERA_INFO),
    )


def _odometry(usual: str, subscribed: Mapping[str, str]) -> str:
    taken = [topic for topic, kind in subscribed.items() if kind == ODOMETRY]
    return usual if usual in taken or not taken else taken[0]


def _subscribed(node: Node, target: str) -> dict[str, str]:
    """Return the type of each topic that the node subscribes to."""
    found = node.get_node_names_and_namespaces()
    for name, namespace in found:
        if full_name(name, namespace) == target:
            topics = node.get_subscriber_names_and_types_by_node(name, namespace)
            return {topic: types[0] for topic, types in topics}
    return {}


def _remapped(
    pattern: str, cameras: Sequence[str], subscribed: Mapping[str, str], type_name: str
) -> dict[str, str]:
    """Return a topic of each camera: the usual one, or a subscribed one that names the camera."""
    usual = {camera: pattern.format(camera) for camera in cameras}
    spare = {t for t, kind in subscribed.items() if kind == type_name} - set(usual.values())
    found = {}
    for camera, topic in usual.items():
        likely = [] if topic in subscribed else likely_topics(topic, camera, cameras, spare)
        found[camera] = likely[0] if likely else topic
    return found
