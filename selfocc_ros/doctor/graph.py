"""The ROS graph around a node, as the doctor wants to see it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

from selfocc_core.doctor.observation import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    ODOMETRY,
    Endpoint,
    GraphView,
    Topic,
    TransportView,
)
from selfocc_ros.transport import latched_qos, sensor_qos

_INPUT_TYPES = (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO, ODOMETRY)
_OUTPUT_TYPES = (
    'sensor_msgs/msg/PointCloud2',
    'nav_msgs/msg/OccupancyGrid',
    'nav2_msgs/msg/VoxelGrid',
    IMAGE,
    CAMERA_INFO,
)
_TF_STATIC, _TF_TYPE = '/tf_static', 'tf2_msgs/msg/TFMessage'
_SHARED_MEMORY = Path('/', 'dev', 'shm')
_PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


@dataclass(frozen=True)
class NodeTopics:
    """The topics that a node reads; full names, remaps applied.

    Attributes:
        node: Full name of the node.
        images: Image topic of each camera.
        compressed: Whether these are ``CompressedImage``.
        odometry: Topic of the odometry; ``None`` if the node takes its motion from TF.
        infos: ``camera_info`` topic of each camera; empty if the node has a rig file, and then it
            does not need ``/tf_static`` either.
    """

    node: str
    images: Mapping[str, str]
    compressed: bool
    odometry: str | None
    infos: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """All of them."""
        odometry = () if self.odometry is None else (self.odometry,)
        return {*self.images.values(), *self.infos.values(), *odometry}


def view_graph(node: Node, topics: NodeTopics) -> GraphView:
    """Return what can be seen of the graph around a node.

    Args:
        node: Who looks: the node itself or any other.
        topics: The node that is looked at.
    """
    look = _Look(node, topics.node)
    image_type = COMPRESSED_IMAGE if topics.compressed else IMAGE
    sensor = sensor_qos()
    return GraphView(
        images={c: look.at_input(t, image_type, sensor) for c, t in topics.images.items()},
        infos={c: look.at_input(t, CAMERA_INFO, sensor) for c, t in topics.infos.items()},
        odometry=None
        if topics.odometry is None
        else look.at_input(topics.odometry, ODOMETRY, sensor),
        transforms=look.at_input(_TF_STATIC, _TF_TYPE, latched_qos()) if topics.infos else None,
        outputs=tuple(look.at_outputs()),
        published=look.at_others(topics.names),
        has_clock=node.count_publishers('/clock') > 0,
        nodes=tuple(node_names(node)),
        domain=os.environ.get('ROS_DOMAIN_ID', '0'),
    )


def node_names(node: Node) -> list[str]:
    """Return the full names of all other nodes, sorted."""
    found = node.get_node_names_and_namespaces()
    names = {full_name(name, namespace) for name, namespace in found}
    return sorted(names - {node.get_fully_qualified_name()})


def full_name(name: str, namespace: str) -> str:
    """Return a node's name with its namespace."""
    return f'{namespace.rstrip("/")}/{name}'


def view_transport() -> TransportView:
    """Return what this process has for large messages."""
    has_memory = _SHARED_MEMORY.is_dir()
    return TransportView(
        rmw=rclpy.get_rmw_implementation_identifier(),
        has_profile=any(os.environ.get(name) for name in _PROFILE_VARIABLES),
        shared_memory_bytes=shutil.disk_usage(_SHARED_MEMORY).total if has_memory else None,
    )


class _Look:
    """Looks at the graph around a target."""

    def __init__(self, node: Node, target: str) -> None:
        self._node, self._target = node, target

    def at_input(self, name: str, type_name: str, usual: QoSProfile) -> Topic:
        """Return a topic that the target reads, with its publishers.

        The quality of service is the subscription's own, or the usual one while there is none.
        """
        wanted = self._qos_of_target(self._node.get_subscriptions_info_by_topic(name)) or usual
        publishers = [
            Endpoint(_node_of(info), info.topic_type, mismatch_between(info.qos_profile, wanted))
            for info in self._node.get_publishers_info_by_topic(name)
        ]
        return Topic(name, type_name, tuple(publishers))

    def at_outputs(self) -> Iterable[Topic]:
        """Yield what the target publishes for others, with those who listen."""
        for name, types in self._node.get_topic_names_and_types():
            if not set(types) & set(_OUTPUT_TYPES):
                continue
            published = self._node.get_publishers_info_by_topic(name)
            offered = self._qos_of_target(published)
            if offered is not None:
                own_type = next(i.topic_type for i in published if _node_of(i) == self._target)
                yield Topic(name, own_type, tuple(self._listeners(name, offered)))

    def at_others(self, read: Iterable[str]) -> dict[str, str]:
        """Return the type of each topic that the target could read but does not."""
        read, found = set(read), {}
        for name, types in self._node.get_topic_names_and_types():
            if name in read or not set(types) & set(_INPUT_TYPES):
                continue
            for info in self._node.get_publishers_info_by_topic(name):
                if _node_of(info) != self._target:
                    found[name] = info.topic_type
        return found

    def _listeners(self, name: str, offered: QoSProfile) -> Iterable[Endpoint]:
        for info in self._node.get_subscriptions_info_by_topic(name):
            mismatch = mismatch_between(offered, info.qos_profile)
            yield Endpoint(_node_of(info), info.topic_type, mismatch)

    def _qos_of_target(self, infos: Iterable[Any]) -> QoSProfile | None:
        return next((i.qos_profile for i in infos if _node_of(i) == self._target), None)


def _node_of(info: Any) -> str:
    return full_name(info.node_name, info.node_namespace)


def mismatch_between(offered: QoSProfile, requested: QoSProfile) -> str:
    """Return why messages do not get from a publisher to a subscription; empty if they do."""
    compatibility, reason = qos_check_compatible(offered, requested)
    if compatibility != QoSCompatibility.ERROR:
        return ''
    return ' '.join(reason.replace('ERROR:', '').split()).strip(' ;').lower()
