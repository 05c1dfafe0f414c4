"""When nothing has come out of the node for a while, one sentence says why."""

from __future__ import annotations

import re
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
        self._said = ''

    def look(self, parameters: NodeParameters, silent_s: float, array: Any) -> None:
        """Log the reason once, and put it into the diagnostics.

        Args:
            parameters: Parameters of the active node.
            silent_s: How long nothing has been published.
            array: The diagnostics that are about to go out.
        """
        reason = ''
        if silent_s >= _PATIENCE_S:
            found = first_error(diagnose(observe_inside(self._node, parameters, array)))
            reason = '' if found is None else str(found)
        if reason:
            status = status_named(array, ': occupancy')
            status.level, status.message = DiagnosticStatus.ERROR, reason
        self._tell(reason)

    def _tell(self, reason: str) -> None:
        """Log a reason that is new, not one of which only the numbers have grown."""
        said, self._said = self._said, re.sub(r'\d+(\.\d+)?', '#', reason)
        if reason and self._said != said:
            self._node.get_logger().error(f'nothing comes out: {reason}')
