"""The node: surround images in, occupancy and depth out."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions

from selfocc_core.errors import SelfOccError
from selfocc_ros.diagnostics import diagnostic_array, unconfigured_array
from selfocc_ros.parameters import changed, declare_parameters, is_live, read_parameters
from selfocc_ros.session import Session
from selfocc_ros.silence import SilenceWatch
from selfocc_ros.transport import reliable_qos

_ASSESSMENT_PERIOD_S = 0.2
_DIAGNOSTICS_PERIOD_S = 1.0
_EXIT_ALARM_S = 15

Transition = Callable[['SurroundNode', LifecycleState], TransitionCallbackReturn]


def _logged(transition: Transition) -> Transition:
    """Let a transition tell what it raises: rclpy takes it for a failure and says nothing."""

    @wraps(transition)
    def told(node: SurroundNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except SelfOccError as error:
            node.say_problem(str(error))
        except Exception as error:
            node.say_problem(f'{type(error).__name__}: {error}')
        return TransitionCallbackReturn.ERROR

    return told


class SurroundNode(LifecycleNode):
    """Lifecycle node ``surround``: configure loads the model, activate takes images."""

    def __init__(self) -> None:
        super().__init__('surround')
        declare_parameters(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._session: Session | None = None
        self._problem = ''
        self._silence = SilenceWatch(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', reliable_qos())
        # Not of ROS time: a clock that stands still is one of the faults to tell of.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=steady)
        self.create_timer(_ASSESSMENT_PERIOD_S, self._assess, clock=steady)

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and the rig, and offer the topics."""
        self._problem = ''
        try:
            self._session = Session(self, read_parameters(self))
        except SelfOccError as error:
            self.say_problem(str(error))
            return TransitionCallbackReturn.FAILURE
        card = self._session.backend.card
        self.get_logger().info(
            f'model {card.name} {card.version} on {self._session.backend.name}, '
            f'{self._session.parameters}'
        )
        return super().on_configure(state)

    @_logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to take images and to publish."""
        result = super().on_activate(state)
        if self._session is not None:
            self._session.start()
        return result

    @_logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more images."""
        if self._session is not None:
            self._session.stop()
        return super().on_deactivate(state)

    @_logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give up the model and the topics."""
        self.close()
        return super().on_cleanup(state)

    @_logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give up the model and the topics for good."""
        self.close()
        return super().on_shutdown(state)

    @_logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after a transition that raised."""
        self.close()
        super().on_error(state)
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Free what configure has made."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def say_problem(self, sentence: str) -> None:
        """Log why a transition failed, and tell it in the diagnostics until one succeeds."""
        self._problem = sentence
        self.get_logger().error(sentence)

    def _on_set_parameters(self, parameters: Sequence[Any]) -> SetParametersResult:
        session = self._session
        if session is None:
            return SetParametersResult(successful=True)  # checked when the node is configured
        values = {parameter.name: parameter.value for parameter in parameters}
        fixed = sorted(name for name in values if not is_live(name))
        if fixed:
            reason = f'{", ".join(fixed)}: can change only while the node is unconfigured'
            return SetParametersResult(successful=False, reason=reason)
        try:
            session.update(changed(session.parameters, values))
        except SelfOccError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _assess(self) -> None:
        if self._session is not None:
            self._session.assess()

    def _publish_diagnostics(self) -> None:
        now, session = self.get_clock().now().to_msg(), self._session
        if session is not None:
            array = diagnostic_array(self.get_name(), now, session.account())
            if session.active:
                self._silence.look(session.parameters, session.silent_s, array)
            self._diagnostics.publish(array)
        elif self._problem:
            self._diagnostics.publish(unconfigured_array(self.get_name(), now, self._problem))


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; return the exit status."""
    # rclpy's own handlers raise in the middle of native calls: some exits crash, some hang.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop: list[int] = []
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: _ask_to_stop(stop, received))
    try:
        node = SurroundNode()
    except ParameterException as error:
        get_logger('surround').error(f'{error}: correct the parameter')
        rclpy.try_shutdown()
        return 1
    try:
        return _run(node, stop)
    finally:
        # A network may hang, and destroying a participant can deadlock inside Fast DDS.
        signal.alarm(_EXIT_ALARM_S)
        _close(node)
        node.destroy_node()
        rclpy.try_shutdown()
        signal.alarm(0)


def _ask_to_stop(stop: list[int], number: int) -> None:
    """Note the signal; an alarm ends what does not look at it, such as an engine being built."""
    stop.append(number)
    signal.alarm(_EXIT_ALARM_S)


def _close(node: SurroundNode) -> None:
    try:
        node.close()
    except SelfOccError as error:
        node.get_logger().error(str(error))


def _run(node: SurroundNode, stop: list[int]) -> int:
    if node.get_parameter('autostart').value and not _started(node):
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop and rclpy.ok():
        _spin_once(node, executor)
    executor.shutdown(timeout_sec=1.0)
    return 0


def _spin_once(node: SurroundNode, executor: SingleThreadedExecutor) -> None:
    """Serve one call; what a callback raises must not end the node.

    rclpy itself raises when somebody asks for a transition that the state does not allow.
    """
    try:
        executor.spin_once(timeout_sec=0.2)
    except Exception as error:
        if not rclpy.ok():
            raise
        node.get_logger().error(
            f'a call was not served: {type(error).__name__}: {error}', throttle_duration_sec=1.0
        )


def _started(node: SurroundNode) -> bool:
    success = TransitionCallbackReturn.SUCCESS
    return node.trigger_configure() == success and node.trigger_activate() == success


if __name__ == '__main__':
    sys.exit(main())
