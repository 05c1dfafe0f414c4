"""Replays a drive through real DDS into the node in its own process, and accounts for it all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from selfocc_core.bags import BagReader, BagWriter
from selfocc_core.cameras import Rig
from selfocc_core.drive_topics import image_topic
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.replay import ReplayStatistics
from selfocc_core.files import temporary_folder_beside
from selfocc_core.progress import track
from selfocc_ros.bag_player import BagPlayer
from selfocc_ros.diagnostics import values_of
from selfocc_ros.node_process import NodeProcess, write_parameters
from selfocc_ros.recorder import Recorder
from selfocc_ros.transport import large_message_environment

NODE = '/surround'
_ANSWER_TIMEOUT_S = 20.0
_SETTLE_TIMEOUT_S = 30.0
# On a slow machine the images of one moment may arrive far apart; the drive can wait for them.
_PARAMETERS = {'autostart': True, 'timeout_ms': 2000.0, 'tolerance_ms': 60.0}


def replay(
    drive: Path, rig: Rig, model: Path, recording: Path, log: Path, rate: float = 1.0
) -> ReplayStatistics:
    """Play a drive into the node and record what it publishes.

    The next frame set waits for the answer to the last, so that a slow machine takes longer
    instead of dropping frames; ``realtime_factor`` tells how much.

    Args:
        drive: The recorded drive.
        rig: Its cameras, the anchor first.
        model: The model that the node loads.
        recording: The bag to write.
        log: File for the node's log.
        rate: Factor on the pace of the drive.

    Raises:
        SelfOccError: The drive lacks a topic, or the node failed.
    """
    with temporary_folder_beside(recording) as folder, BagReader(drive) as bag:
        parameters = folder / 'parameters.yaml'
        write_parameters(parameters, _node_parameters(bag, rig, model, folder))
        with _own_domain(), BagWriter(recording) as writer, _spinning_node() as node:
            recorder = Recorder(node, writer, NODE, rig.names)
            player = BagPlayer(node, bag, rig.names, NODE)
            with NodeProcess(parameters, log) as process:
                player.wait_for_listener(process.check_alive)
                recorder.wait_for_publishers(process.check_alive)
                wall_s = _play(player, recorder, process, rate)
                final = _final_diagnostics(recorder, process)
            drive_s = (bag.end_ns - bag.start_ns) * 1e-9
            return _statistics(player, recorder, final, str(model), drive_s / wall_s)


def _node_parameters(bag: BagReader, rig: Rig, model: Path, folder: Path) -> dict[str, object]:
    rig.to_yaml(folder / 'rig.yaml')
    compressed = image_topic(bag, rig.names[0]).endswith('/compressed')
    return {
        **_PARAMETERS,
        'model': str(model.resolve()),
        'rig_file': str((folder / 'rig.yaml').resolve()),
        'cameras': list(rig.names),
        'image_transport': 'compressed' if compressed else 'raw',
    }


@contextmanager
def _own_domain() -> Iterator[None]:
    """Keep other nodes on this machine or network out, and let large images through."""
    changes = {
        'ROS_DOMAIN_ID': str(1 + os.getpid() % 100),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        **large_message_environment(),
    }
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _spinning_node() -> Iterator[Node]:
    """Yield a node whose callbacks run in a thread of their own."""
    rclpy.init(args=[], signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    node, stopped = rclpy.create_node('selfocc_replay'), threading.Event()
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        while not stopped.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin, name='recorder', daemon=True)
    thread.start()
    try:
        yield node
    finally:
        stopped.set()
        thread.join()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def _play(player: BagPlayer, recorder: Recorder, process: NodeProcess, rate: float) -> float:
    """Play it all and wait for the last answer; return how long that took in seconds."""
    waiting: list[int] = []

    def wait_for_answer() -> None:
        if waiting and not recorder.wait_until_answered(waiting.pop(), _ANSWER_TIMEOUT_S):
            process.check_alive()

    def before_anchor(stamp_ns: int) -> None:
        wait_for_answer()
        waiting.append(stamp_ns)

    started_s = time.monotonic()
    for _ in track(player.play(rate, before_anchor), 'Playing', total=player.message_count):
        pass
    wait_for_answer()
    return time.monotonic() - started_s


def _final_diagnostics(recorder: Recorder, process: NodeProcess) -> Any:
    """Return the node's account once it has finished everything: two in a row that agree."""
    ended_s = time.monotonic()
    while time.monotonic() - ended_s < _SETTLE_TIMEOUT_S:
        process.check_alive()
        recent = [array for came_s, array in list(recorder.diagnostics) if came_s > ended_s][-2:]
        accounts = [values_of(array, ': inference') for array in recent]
        if len(accounts) == 2 and accounts[0] == accounts[1] and accounts[1]['in_progress'] == '0':
            return recent[1]
        time.sleep(0.1)
    raise SelfOccError(
        'the node did not come to rest within 30 s after the drive; the end of its log: '
        f'{process.last_words()}'
    )


def _statistics(
    player: BagPlayer, recorder: Recorder, final: Any, model: str, realtime_factor: float
) -> ReplayStatistics:
    inference = values_of(final, ': inference')
    published = int(inference['published'])
    return ReplayStatistics(
        images_published=player.images_published,
        frame_sets=int(inference['frame_sets']),
        frames_published=published,
        dropped=_dropped(player, recorder, final, published),
        latency_ms=tuple(_latencies_ms(player, recorder)),
        realtime_factor=realtime_factor,
        backend=inference['backend'],
        model=model,
    )


def _dropped(player: BagPlayer, recorder: Recorder, final: Any, published: int) -> dict[str, int]:
    """Return everything that did not become published occupancy, by reason."""
    cameras = {name: values_of(final, f': camera {name}') for name in player.published_s}
    received = sum(int(values['received']) for values in cameras.values())
    dropped = {
        'images: lost in transport': player.images_published - received,
        'occupancy: lost in transport': published - len(recorder.answered_s),
    }
    dropped |= _prefixed(values_of(final, ': inference'), 'lost: ', 'frame sets: ')
    for name, values in cameras.items():
        dropped |= _prefixed(values, 'dropped: ', f'images of {name}: ')
    return {reason: count for reason, count in dropped.items() if count}


def _prefixed(values: Mapping[str, str], prefix: str, renamed: str) -> dict[str, int]:
    return {
        renamed + key[len(prefix) :]: int(value)
        for key, value in values.items()
        if key.startswith(prefix)
    }


def _latencies_ms(player: BagPlayer, recorder: Recorder) -> Iterator[float]:
    """Yield, of each answered frame set, the time from its last image to its occupancy."""
    for anchor_ns, answered_s in sorted(recorder.answered_s.items()):
        sent_s = [
            stamps[min(stamps, key=lambda stamp_ns: abs(stamp_ns - anchor_ns))]
            for stamps in player.published_s.values()
            if stamps
        ]
        yield 1e3 * (answered_s - max(sent_s))
