"""How to receive six raw cameras of 1600x900 at 10 Hz in Python: executors, messages, DDS profile.

    python -m benchmarks.image_transport
    python -m benchmarks.image_transport --seconds 20 --json transport.json

Each way receives for some seconds in turn, in a process of its own that does nothing else: one
thread or several, one callback group for all or one for each camera, messages as rclpy makes them
or serialised and parsed in place. The last line is Fast DDS as it comes, without our profile.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.image_receiver import WAYS
from benchmarks.node_processes import ModuleProcess, take_own_domain
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.evaluation.machine import this_machine

_WARM_UP_S = 3.0
_RATE_HZ = 10
_PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


@dataclass(frozen=True)
class Measured:
    """What a way of receiving costs and loses.

    Attributes:
        way: Its name.
        profile: Whether our DDS profile was used.
        sent: Images that were sent.
        received: Images that arrived.
        p50_ms: Median age of an image on arrival.
        p95_ms: 95th percentile.
        cpu_ms_per_image: Processor time of the receiving process for each image that arrived.
    """

    way: str
    profile: bool
    sent: int
    received: int
    p50_ms: float
    p95_ms: float
    cpu_ms_per_image: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    options = _options(arguments)
    print(json.dumps(this_machine()), f'6 x 1600x900 bgr8, {_RATE_HZ} Hz, {options.seconds:g} s')
    take_own_domain()
    with tempfile.TemporaryDirectory() as folder:
        measured = [measure(way, Path(folder), options.seconds) for way in WAYS]
        with _without_profile():
            measured.append(measure(WAYS[0], Path(folder), options.seconds, profile=False))
    print(table(measured))
    if options.json:
        content = {'machine': this_machine(), 'measured': [asdict(one) for one in measured]}
        options.json.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


def measure(way: str, folder: Path, seconds: float, *, profile: bool = True) -> Measured:
    """Let one receiver listen to the cameras."""
    nuscenes_like_rig(1600, 900).to_yaml(folder / 'rig.yaml')
    rig = ['--rig', str(folder / 'rig.yaml')]
    heard, sent = folder / 'heard.json', folder / 'sent.json'
    receiver_arguments = [*rig, '--way', way, '--out', str(heard)]
    with (
        ModuleProcess('benchmarks.image_receiver', receiver_arguments, folder / 'r.log') as ear,
        ModuleProcess('benchmarks.node_cameras', [*rig, '--sent', str(sent)], folder / 'c.log'),
    ):
        time.sleep(_WARM_UP_S)
        before = ear.usage()
        time.sleep(seconds)
        after = ear.usage()
        ear.check_alive()
    latencies_ms = np.concatenate(json.loads(heard.read_text()))
    recent_ms = latencies_ms[-round(len(latencies_ms) * seconds / (seconds + _WARM_UP_S)) :]
    return Measured(
        way=way,
        profile=profile,
        sent=6 * len(json.loads(sent.read_text())),
        received=len(latencies_ms),
        p50_ms=float(np.percentile(recent_ms, 50)),
        p95_ms=float(np.percentile(recent_ms, 95)),
        cpu_ms_per_image=(after.cpu_s - before.cpu_s) * 1e3 / max(1, len(recent_ms)),
    )


@contextmanager
def _without_profile() -> Iterator[None]:
    """Take our DDS profile from the processes that are started meanwhile."""
    kept = {name: os.environ.pop(name) for name in _PROFILE_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def table(measured: Sequence[Measured]) -> str:
    """Return the measurements as a Markdown table."""
    lines = [
        '| receiver | DDS profile | received / sent | p50 | p95 | CPU per image |',
        '|---|---|---|---|---|---|',
    ]
    lines += [
        f'| {one.way} | {"ours" if one.profile else "default"} | {one.received} / {one.sent} | '
        f'{one.p50_ms:.1f} ms | {one.p95_ms:.1f} ms | {one.cpu_ms_per_image:.2f} ms |'
        for one in measured
    ]
    return '\n'.join(lines)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seconds', type=float, default=15.0, help='of each way')
    parser.add_argument('--json', type=Path, help='file for the numbers')
    return parser.parse_args(arguments)


if __name__ == '__main__':
    main()
