"""What the node sees of itself, for the doctor in it."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

from selfocc_core.doctor.node_account import NodeAccount
from selfocc_core.doctor.observation import ACTIVE, NodeObservation
from selfocc_ros.doctor.graph import NodeTopics, view_graph, view_transport
from selfocc_ros.inputs import image_topics
from selfocc_ros.parameters import NodeParameters


def observe_inside(node: Node, parameters: NodeParameters, array: Any) -> NodeObservation:
    """Return the observation of an active node by itself, for ``diagnose``.

    Args:
        node: The node.
        parameters: Its parameters.
        array: What it says of itself now, a ``DiagnosticArray``.
    """
    topics = own_topics(node, parameters)
    account = NodeAccount.read(node.get_name(), array) or NodeAccount({}, {})
    return NodeObservation(
        node=topics.node,
        state=ACTIVE,
        graph=view_graph(node, topics),
        cameras=account.cameras(parameters.cameras),
        frame_sets=account.frame_sets,
        image_transport=parameters.image_transport,
        base_frame=parameters.base_frame,
        minimum_cameras=parameters.minimum_cameras,
        use_sim_time=bool(node.get_parameter('use_sim_time').value),
        inference=account.inference,
        transport=view_transport(),
    )


def own_topics(node: Node, parameters: NodeParameters) -> NodeTopics:
    """Return the topics that a node with these parameters reads, remaps applied."""
    infos = (
        {} if parameters.rig_file else {c: f'~/input/{c}/camera_info' for c in parameters.cameras}
    )
    from_odometry = parameters.motion_source == 'odometry'
    resolve = node.resolve_topic_name
    return NodeTopics(
        node=node.get_fully_qualified_name(),
        images={camera: resolve(topic) for camera, topic in image_topics(parameters).items()},
        compressed=parameters.image_transport == 'compressed',
        odometry=resolve('~/input/odometry') if from_odometry else None,
        infos={camera: resolve(topic) for camera, topic in infos.items()},
    )
