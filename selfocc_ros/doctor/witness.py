"""What another node tells of itself: its services, and what it says on ``/diagnostics``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.doctor.node_account import NodeAccount
from selfocc_core.doctor.observation import (
    ABSENT,
    RAW,
    SILENT,
    NodeObservation,
)
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard
from selfocc_ros.doctor.graph import node_names, view_graph
from selfocc_ros.doctor.read_topics import read_topics
from selfocc_ros.transport import reliable_qos

# What is taken for a parameter until the node has answered.
_PARAMETERS: Mapping[str, Any] = {
    'cameras': list(nuscenes_like_rig().names),
    'image_transport': RAW,
    'rig_file': '',
    'model': '',
    'motion_source': 'odometry',
    'base_frame': 'base_link',
    'minimum_cameras': 1,
    'use_sim_time': False,
}


class Witness:
    """Asks and listens to a node.

    Args:
        node: Who asks.
        target: Full name of the node that is asked.
    """

    def __init__(self, node: Node, target: str) -> None:
        self._node, self._target = node, target
        self._parameters = dict(_PARAMETERS)
        self._state: str | None = None
        self._account = NodeAccount({}, {})
        self._state_client = node.create_client(GetState, f'{target}/get_state')
        self._parameters_client = node.create_client(GetParameters, f'{target}/get_parameters')
        self._unanswered: list[Any] = []
        node.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, reliable_qos()
        )

    def ask(self) -> None:
        """Ask for the state and all parameters, unless an answer is still due."""
        self._unanswered = [future for future in self._unanswered if not future.done()]
        if self._unanswered or not self._state_client.service_is_ready():
            return
        self._call(self._state_client, GetState.Request(), self._on_state)
        if self._parameters_client.service_is_ready():
            for name in _PARAMETERS:  # one by one: the answer is empty if one is unknown
                request = GetParameters.Request(names=[name])
                self._call(self._parameters_client, request, self._parameter_taker(name))

    def observation(self) -> NodeObservation:
        """Return what is known by now."""
        parameters, account = self._parameters, self._account
        topics = read_topics(self._node, self._target, parameters, account)
        return NodeObservation(
            node=self._target,
            state=self._lifecycle_state(),
            graph=view_graph(self._node, topics),
            cameras=account.cameras(topics.images),
            frame_sets=account.frame_sets,
            configure_problem=self._configure_problem(),
            image_transport=parameters['image_transport'],
            base_frame=parameters['base_frame'],
            minimum_cameras=parameters['minimum_cameras'],
            use_sim_time=parameters['use_sim_time'],
            inference=account.inference,
        )

    def _call(self, client: Any, request: Any, take: Any) -> None:
        future = client.call_async(request)
        future.add_done_callback(lambda done: take(done.result()))
        self._unanswered.append(future)

    def _on_state(self, response: Any) -> None:
        self._state = response.current_state.label

    def _parameter_taker(self, name: str) -> Any:
        def take(response: Any) -> None:
            for value in map(parameter_value_to_python, response.values):
                if isinstance(value, type(_PARAMETERS[name])):
                    self._parameters[name] = value

        return take

    def _on_diagnostics(self, array: Any) -> None:
        account = NodeAccount.read(self._target.rpartition('/')[2], array)
        if account is not None:
            self._account = account

    def _lifecycle_state(self) -> str:
        if self._target not in node_names(self._node):
            return ABSENT
        return SILENT if self._state is None else self._state

    def _configure_problem(self) -> str | None:
        """Return why an unconfigured node would not get further, as far as files tell."""
        if self._state != 'unconfigured':
            return None
        try:
            for name, check in (('model', ModelCard.load_for), ('rig_file', Rig.from_yaml)):
                path = Path(self._parameters[name]).expanduser()
                if path.is_absolute():  # others are relative to where the node was started
                    check(path)
        except SelfOccError as error:
            return str(error)
        return None
