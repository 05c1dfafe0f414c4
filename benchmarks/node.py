"""What the node costs beside its model: latency and processor time, next to a plain baseline's.

    python -m benchmarks.node                              # 6 raw cameras of 1600x900 at 10 Hz
    python -m benchmarks.node --transport compressed --json node.json

Cameras, node and listener are processes of their own, as on a vehicle, with the transport settings
of the launch file. ``selfocc_ros`` and ``benchmarks.baseline_node`` take turns, so that both see
the same machine. Both run the same model, which takes next to no time and finds some 12,000
occupied voxels; both have a listener for occupancy and all depth images.

- Latency: from the stamp of the last image of a frame set to the arrival of its occupancy at the
  listener (still serialised), less the median time of the model itself where the node tells it.
- CPU: of the whole node process, for each frame set that was published.

The aim: p95 of the latency at most 25 ms, and a third of the baseline's CPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from benchmarks.baseline_node import MARKERS
from benchmarks.node_cameras import TRANSPORTS
from benchmarks.node_listener import CDR_HEADER_BYTES, Listener, listener, stamp_at
from benchmarks.node_model import write_node_model
from benchmarks.node_processes import ModuleProcess, take_own_domain
from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.machine import this_machine
from selfocc_ros.diagnostics import values_of
from selfocc_ros.node_process import ros_arguments, write_parameters

_RATE_HZ = 10.0
_GRACE_S = 1.0  # answers to the last frame sets may still come


@dataclass(frozen=True)
class Subject:
    """A node to be measured.

    Attributes:
        name: For the table.
        module: The module to run.
        arguments: Its command line.
        message_type: Type of its occupancy.
        topic: Topic of its occupancy.
        stamp_offset: Where the stamp lies in the serialised occupancy.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    message_type: Any
    topic: str
    stamp_offset: int


@dataclass(frozen=True)
class Round:
    """What was measured of a node in one go.

    Attributes:
        subject: Name of the node.
        sent: Frame sets that the cameras sent.
        latency_ms: Of each frame set that was published, the model's time included.
        cpu_s: Processor time of the node.
        wall_s: How long it was measured.
        peak_rss_kb: The most memory that was ever resident.
        stages_ms: Median and 95th percentile of what the node measures itself.
    """

    subject: str
    sent: int
    latency_ms: tuple[float, ...]
    cpu_s: float
    wall_s: float
    peak_rss_kb: int
    stages_ms: dict[str, tuple[float, float]]

    @property
    def model_ms(self) -> float:
        """Median time of the model itself; 0 if the node does not tell."""
        return self.stages_ms.get('model', (0.0, 0.0))[0]

    @property
    def own_latency_ms(self) -> list[float]:
        """Latency without the model."""
        return [latency_ms - self.model_ms for latency_ms in self.latency_ms]


@dataclass(frozen=True)
class Summary:
    """All rounds of a node together; times without the model.

    Attributes:
        name: Of the node.
        sent: Frame sets that the cameras sent.
        published: Frame sets that were answered.
        p50_ms: Median latency.
        p95_ms: 95th percentile.
        max_ms: The longest.
        model_ms: Median time of the model, median of the rounds; 0 if the node does not tell.
        cpu_ms_per_published: Processor time for each frame set that was answered.
        cpu_ms_per_sent: The same for each that was sent: less, if the node does not keep up.
        cores: Processor time over wall time.
        peak_rss_mb: The most memory of all rounds.
    """

    name: str
    sent: int
    published: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    model_ms: float
    cpu_ms_per_published: float
    cpu_ms_per_sent: float
    cores: float
    peak_rss_mb: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    options = _options(arguments)
    settings = {
        'cameras': f'6 x {options.size[0]}x{options.size[1]} {options.transport}, {_RATE_HZ:g} Hz',
        'rounds': f'{options.rounds} x {options.seconds:g} s, taking turns',
        'runtime threads': options.threads,
    }
    print(json.dumps(this_machine()), json.dumps(settings), flush=True)
    take_own_domain()
    with tempfile.TemporaryDirectory() as folder:
        rounds = _measure(options, Path(folder))
    summaries = [summary_of(rounds[::2]), summary_of(rounds[1::2])]
    print(table(summaries))
    print(comparison(*summaries))
    if options.json:
        report = {
            'machine': this_machine(),
            'settings': settings,
            'summaries': [asdict(summary) for summary in summaries],
            'rounds': [asdict(one) for one in rounds],
        }
        options.json.write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=size_of, default=(1600, 900), help='WIDTHxHEIGHT')
    parser.add_argument('--transport', choices=TRANSPORTS, default='raw')
    parser.add_argument('--seconds', type=float, default=20.0, help='of each round')
    parser.add_argument('--warm-up', type=float, default=3.0, help='seconds before each round')
    parser.add_argument('--rounds', type=int, default=2, help='of each node')
    parser.add_argument('--threads', type=int, default=1, help='of the inference runtime')
    parser.add_argument('--json', type=Path, help='file for every frame set')
    return parser.parse_args(arguments)


def size_of(text: str) -> tuple[int, int]:
    """Return width and height of a text such as ``1600x900``."""
    width, height = map(int, text.split('x'))
    return width, height


def _measure(options: argparse.Namespace, folder: Path) -> list[Round]:
    """Return the rounds: ours, baseline, ours, baseline, ..."""
    rig = nuscenes_like_rig(*options.size)
    rig.to_yaml(folder / 'rig.yaml')
    write_node_model(folder / 'model.onnx')
    subjects = [_ours(options, folder), _baseline(options, folder)]
    return [
        _measure_round(subject, rig, options, folder)
        for _ in range(options.rounds)
        for subject in subjects
    ]


def _ours(options: argparse.Namespace, folder: Path) -> Subject:
    parameters = {
        'model': str(folder / 'model.onnx'),
        'rig_file': str(folder / 'rig.yaml'),
        'image_transport': options.transport,
        'backend': 'onnxruntime-cpu',
        'threads': options.threads,
        'autostart': True,
    }
    write_parameters(folder / 'parameters.yaml', parameters)
    return Subject(
        name='selfocc_ros',
        module='selfocc_ros.surround_node',
        arguments=tuple(ros_arguments(folder / 'parameters.yaml')),
        message_type=PointCloud2,
        topic='/surround/occupancy/points',
        stamp_offset=CDR_HEADER_BYTES,
    )


def _baseline(options: argparse.Namespace, folder: Path) -> Subject:
    arguments = {
        '--model': folder / 'model.onnx',
        '--rig': folder / 'rig.yaml',
        '--transport': options.transport,
        '--threads': options.threads,
    }
    return Subject(
        name='baseline',
        module='benchmarks.baseline_node',
        arguments=tuple(str(part) for argument in arguments.items() for part in argument),
        message_type=MarkerArray,
        topic=MARKERS,
        stamp_offset=CDR_HEADER_BYTES + 4,  # after the number of markers
    )


class Answers:
    """What a listener hears of a node.

    Attributes:
        arrived_ns: Time of day at which the occupancy with each stamp arrived.
        stages_ms: What the node said last of its stages: median and 95th percentile.
    """

    def __init__(self, ears: Listener, subject: Subject, cameras: Sequence[str]) -> None:
        self.arrived_ns: dict[int, int] = {}
        self.stages_ms: dict[str, tuple[float, float]] = {}
        self._stamp_offset = subject.stamp_offset
        ears.listen(subject.message_type, subject.topic, self._on_occupancy)
        ears.listen(DiagnosticArray, '/diagnostics', self._on_diagnostics)
        for name in cameras:
            ears.listen(Image, f'/surround/{name}/depth/image')

    def _on_occupancy(self, raw: bytes) -> None:
        self.arrived_ns.setdefault(stamp_at(raw, self._stamp_offset), time.time_ns())

    def _on_diagnostics(self, raw: bytes) -> None:
        self.stages_ms = stages(deserialize_message(raw, DiagnosticArray))


def _measure_round(subject: Subject, rig: Rig, options: argparse.Namespace, folder: Path) -> Round:
    with (
        listener('benchmark') as ears,
        ModuleProcess(subject.module, subject.arguments, folder / 'node.log') as node,
        _cameras(options, folder) as cameras,
    ):
        answers = Answers(ears, subject, rig.names)
        _wait_for_first(answers, ears, node, cameras)
        ears.spin_for(options.warm_up)
        begin_ns, before = time.time_ns(), node.usage()
        ears.spin_for(options.seconds)
        end_ns, after = time.time_ns(), node.usage()
        ears.spin_for(_GRACE_S)
        node.check_alive()
        cameras.stop()
        sent = json.loads((folder / 'sent.json').read_text(encoding='utf-8'))
        latencies_ms = latencies(sent, answers.arrived_ns, begin_ns, end_ns)
        return Round(
            subject=subject.name,
            sent=len(latencies_ms),
            latency_ms=tuple(ms for ms in latencies_ms if ms is not None),
            cpu_s=after.cpu_s - before.cpu_s,
            wall_s=(end_ns - begin_ns) * 1e-9,
            peak_rss_kb=node.usage().peak_rss_kb,
            stages_ms=answers.stages_ms,
        )


def _cameras(options: argparse.Namespace, folder: Path) -> ModuleProcess:
    arguments = {
        '--rig': folder / 'rig.yaml',
        '--sent': folder / 'sent.json',
        '--transport': options.transport,
        '--rate': _RATE_HZ,
    }
    listed = [str(part) for argument in arguments.items() for part in argument]
    return ModuleProcess('benchmarks.node_cameras', listed, folder / 'cameras.log')


def _wait_for_first(answers: Answers, ears: Listener, *processes: ModuleProcess) -> None:
    def check() -> None:
        for process in processes:
            process.check_alive()

    if not ears.spin_until(lambda: bool(answers.arrived_ns), check):
        words = ' | '.join(process.last_words() for process in processes)
        raise SelfOccError(f'no occupancy came within a minute; the last words: {words}')


def latencies(
    sent_ns: Sequence[Sequence[int]], arrived_ns: Mapping[int, int], begin_ns: int, end_ns: int
) -> list[float | None]:
    """Return the latency in milliseconds of each frame set of an interval.

    Args:
        sent_ns: Stamps of the images of each frame set; the last counts.
        arrived_ns: When the answer to a frame set arrived, by the stamp of one of its images.
        begin_ns: Sets whose last stamp is earlier do not count,
        end_ns: nor do those whose last stamp is not.

    Returns:
        ``None`` for a frame set without an answer.
    """
    arrivals_ns = {
        stamps_ns[-1]: [arrived_ns[stamp_ns] for stamp_ns in stamps_ns if stamp_ns in arrived_ns]
        for stamps_ns in sent_ns
        if begin_ns <= stamps_ns[-1] < end_ns
    }
    return [
        (min(answers_ns) - last_ns) * 1e-6 if answers_ns else None
        for last_ns, answers_ns in arrivals_ns.items()
    ]


def stages(diagnostics: Any) -> dict[str, tuple[float, float]]:
    """Return what a node says of its stages: median and 95th percentile in milliseconds."""
    values, p50 = values_of(diagnostics, ': inference'), '_ms_p50'
    return {
        key.removesuffix(p50): (float(value), float(values[key.removesuffix('50') + '95']))
        for key, value in values.items()
        if key.endswith(p50)
    }


def summary_of(rounds: Sequence[Round]) -> Summary:
    """Return the summary of the rounds of one node.

    Raises:
        SelfOccError: It published nothing.
    """
    own_ms = [ms for one in rounds for ms in one.own_latency_ms]
    if not own_ms:
        raise SelfOccError(f'{rounds[0].subject} published nothing in time: measure for longer')
    cpu_s, sent = sum(one.cpu_s for one in rounds), sum(one.sent for one in rounds)
    p50_ms, p95_ms = np.percentile(own_ms, (50, 95))
    return Summary(
        name=rounds[0].subject,
        sent=sent,
        published=len(own_ms),
        p50_ms=float(p50_ms),
        p95_ms=float(p95_ms),
        max_ms=max(own_ms),
        model_ms=float(np.median([one.model_ms for one in rounds])),
        cpu_ms_per_published=1e3 * cpu_s / len(own_ms),
        cpu_ms_per_sent=1e3 * cpu_s / sent,
        cores=cpu_s / sum(one.wall_s for one in rounds),
        peak_rss_mb=max(one.peak_rss_kb for one in rounds) / 1024,
    )


_COLUMNS: dict[str, Callable[[Summary], str]] = {
    'node': lambda s: s.name,
    'latency p50': lambda s: f'{s.p50_ms:.1f} ms',
    'p95': lambda s: f'{s.p95_ms:.1f} ms',
    'max': lambda s: f'{s.max_ms:.1f} ms',
    'model': lambda s: f'{s.model_ms:.2f} ms' if s.model_ms else 'not told',
    'published': lambda s: f'{s.published} of {s.sent}',
    'CPU per published set': lambda s: f'{s.cpu_ms_per_published:.1f} ms',
    'per sent set': lambda s: f'{s.cpu_ms_per_sent:.1f} ms',
    'cores': lambda s: f'{s.cores:.2f}',
    'peak memory': lambda s: f'{s.peak_rss_mb:.0f} MB',
}


def table(summaries: Sequence[Summary]) -> str:
    """Return a Markdown table."""
    rows = [list(_COLUMNS), ['---'] * len(_COLUMNS)]
    rows += [[cell(summary) for cell in _COLUMNS.values()] for summary in summaries]
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def comparison(ours: Summary, baseline: Summary) -> str:
    """Return in one line how the nodes compare."""
    cpu = ours.cpu_ms_per_published / baseline.cpu_ms_per_published
    per_sent = ours.cpu_ms_per_sent / baseline.cpu_ms_per_sent
    return (
        f"CPU of the baseline's: {cpu:.2f} for each published set, {per_sent:.2f} for each sent; "
        f'latency p95 {ours.p95_ms:.1f} ms against {baseline.p95_ms:.1f} ms'
    )


if __name__ == '__main__':
    main()
