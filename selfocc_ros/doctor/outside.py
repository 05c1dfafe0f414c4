"""The examination of a running node from outside, by a node of the doctor's own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from selfocc_core.doctor.finding import Finding, first_error
from selfocc_core.doctor.node_check import diagnose
from selfocc_ros.doctor.witness import Witness

_PERIOD_S = 0.5


def examine(
    target: str, seconds: float, progress: Callable[[str], None] = lambda _: None
) -> list[Finding]:
    """Return what keeps a running node from publishing.

    Args:
        target: Full name of the node.
        seconds: How long to look at most; that all is well is seen earlier.
        progress: Takes in words what is going on.
    """
    with _own_node() as (node, executor):
        witness, started_s = Witness(node, target), time.monotonic()
        while True:
            witness.ask()
            _spin(executor, _PERIOD_S)
            elapsed_s = time.monotonic() - started_s
            progress(f'looking at {target} for {elapsed_s:.0f} of {seconds:.0f} s')
            findings = diagnose(witness.observation())
            if elapsed_s >= seconds or first_error(findings) is None:
                return findings


@contextmanager
def _own_node() -> Iterator[tuple[Node, SingleThreadedExecutor]]:
    """Yield a node in a context of its own, so that it can live beside other nodes."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor(context=context)
    node = rclpy.create_node(f'selfocc_doctor_{os.getpid()}', context=context)
    executor.add_node(node)
    try:
        yield node, executor
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def _spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left_s)
