"""When nothing has come out of the node for a while, one sentence says why."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from selfocc_core.doctor.finding import first_error
from selfocc_core.doctor.node_check import diagnose
from selfocc_ros.diagnostics import status_named
from selfocc_ros.doctor.inside import observe_inside
from selfocc_ros.parameters import NodeParameters

_PATIENCE_S = 5.0


class SilenceWatch:
    """Asks the doctor when an active node has been silent for five seconds.

    Args:
        node: The node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reason: str | None = None

    def look(self, parameters: NodeParameters, silent_s: float, array: Any) -> None:
        """Log the reason once, and put it into the diagnostics.

        Args:
            parameters: Parameters of the active node.
            silent_s: How long nothing has been published.
            array: The diagnostics that are about to go out.
        """
        reason = None
        if silent_s >= _PATIENCE_S:
            found = first_error(diagnose(observe_inside(self._node, parameters, array)))
            reason = None if found is None else str(found)
        if reason is not None:
            status = status_named(array, ': occupancy')
            status.level, status.message = DiagnosticStatus.ERROR, reason
        self._tell(reason)

    def _tell(self, reason: str | None) -> None:
        if reason == self._reason:
            return
        if reason is not None:
            self._node.get_logger().error(f'nothing comes out: {reason}')
        self._reason = reason
