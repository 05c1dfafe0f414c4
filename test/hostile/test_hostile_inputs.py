"""Thousands of damaged and hostile inputs: each ends well or in one sentence, and leaves nothing.

Cases are made from a seed, so a failure can be had again from its message alone. More of them:

    HOSTILE_SEEDS=2,3,4 HOSTILE_FACTOR=10 pytest test/hostile
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import worker

# A case takes milliseconds. So long without a word is a hang on any machine.
_HANG_S = 150
_MOST_CRASHES = 5

# In all more than 2,000, which a change of a family must not lose.
LEAST_CASES = {'recordings': 1000, 'files': 800, 'models': 600, 'training': 1000}

EXTRAS = {'training': ('torch', 'rerun')}

_FACTOR = float(os.environ.get('HOSTILE_FACTOR', '1'))
_SEEDS = [int(seed) for seed in os.environ.get('HOSTILE_SEEDS', '1').split(',')]


class Run:
    """A batch in processes of its own, begun again after a case that ends its process."""

    def __init__(self, batch: str, seed: int, factor: float, folder: Path) -> None:
        self._arguments = batch, str(seed), str(factor)
        self._folder = folder
        self.cases, self.wanted = 0, -1
        self.wrong: dict[str, list[str]] = defaultdict(list)  # cases by what is wrong with them
        first = 0
        for attempt in range(_MOST_CRASHES):
            first = self._run(first, attempt)
            if first < 0:
                break

    def _run(self, first: int, attempt: int) -> int:
        """Run the cases from some number on; return where to go on, -1 at the end."""
        root = self._folder / str(attempt)
        root.mkdir()
        place, case, words = first, 'start', 'nothing yet'
        with (self._folder / f'stderr-{attempt}').open('w+b') as stderr:
            for message in self._messages(first, root, stderr):
                if message['place'] < 0:
                    self.wanted = message['said']
                    return -1
                if isinstance(message['said'], str):
                    place, case, words = message['place'], message['case'], message['said']
                    continue
                self.cases += 1
                place += 1
                for wrong in message['said']:
                    self.wrong[wrong.split('(')[-1]].append(f'{case} ({words}): {wrong}')
            stderr.seek(0)
            end = stderr.read().decode(errors='replace')[-3000:]
        self.wrong[f'{case} ends its process'].append(
            f'{case} ({words}): hangs, or ends its process:\n{end}'
        )
        return place + 1

    def _messages(self, first: int, root: Path, stderr: Any) -> Iterator[dict[str, Any]]:
        command = [sys.executable, worker.__file__, *self._arguments, str(first), str(root)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, env=_environment(), text=True
        ) as process:
            assert process.stdout is not None
            # SIGABRT makes the process say where it hangs.
            hang = _Watchdog(lambda: process.send_signal(signal.SIGABRT))
            for line in process.stdout:
                hang.hear()
                yield json.loads(line)
            hang.stop()


class _Watchdog:
    """Calls somebody when nothing was heard for too long."""

    def __init__(self, bark: Callable[[], None]) -> None:
        self._bark, self._heard, self._ended = bark, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def hear(self) -> None:
        self._heard.set()

    def stop(self) -> None:
        self._ended.set()
        self._heard.set()
        self._thread.join()

    def _watch(self) -> None:
        while self._heard.wait(_HANG_S) and not self._ended.is_set():
            self._heard.clear()
        if not self._ended.is_set():
            self._bark()


def _environment() -> dict[str, str]:
    alone = {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1', 'PYTHONDONTWRITEBYTECODE': '1'}
    # Each thread that makes room for itself would count as much.
    quiet = {'OPENCV_LOG_LEVEL': 'OFF', 'MALLOC_ARENA_MAX': '2'}
    without = {k: v for k, v in os.environ.items() if k not in {'DISPLAY', 'WAYLAND_DISPLAY'}}
    return without | alone | quiet


def _check(batch: str, seed: int, factor: float, folder: Path) -> None:
    run = Run(batch, seed, factor, folder)
    lines = [f'{len(cases)} x {cases[0]}' for cases in run.wrong.values()]
    text = [
        f'{len(lines)} kinds of wrong ends in {run.cases} cases; see one again with:',
        f'{sys.executable} {worker.__file__} FAMILY SEED NUMBER',
        *lines,
    ]
    assert not lines, '\n'.join(text)
    assert run.cases == run.wanted
    if seed == 1 and factor >= 1:
        assert run.cases >= LEAST_CASES[batch]


@pytest.mark.slow
@pytest.mark.timeout(0)  # the watchdog knows better: on a busy machine all takes longer
@pytest.mark.parametrize('seed', _SEEDS)
@pytest.mark.parametrize('batch', worker.BATCHES)
def test_hostile_inputs_end_well_or_in_a_sentence(batch, seed, tmp_path):
    for name in EXTRAS.get(batch, ()):
        if find_spec(name) is None:
            pytest.skip(f'needs {name}')
    _check(batch, seed, _FACTOR, tmp_path)
