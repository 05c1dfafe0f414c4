"""Processes of a measurement, on a ROS domain of their own, and what they use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from selfocc_core.errors import SelfOccError
from selfocc_ros.transport import child_environment

_ROOT = Path(__file__).resolve().parents[1]
_STOP_TIMEOUT_S = 20.0


def take_own_domain() -> None:
    """Keep other nodes away from this process and its children, and let large images through."""
    domain = {
        'ROS_DOMAIN_ID': str(1 + os.getpid() % 100),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    os.environ.update(child_environment(domain))


@dataclass(frozen=True)
class Usage:
    """What a process has used so far.

    Attributes:
        cpu_s: Processor time of all its threads, in user and system mode.
        rss_kb: Memory that is resident now.
        anonymous_kb: The part of it that is neither a file nor shared memory.
        peak_rss_kb: The most that was ever resident.
        threads: How many it has now.
    """

    cpu_s: float
    rss_kb: int
    anonymous_kb: int
    peak_rss_kb: int
    threads: int


def usage_of(process_id: int) -> Usage:
    """Return what a process has used, from ``/proc``."""
    folder = Path('/proc') / str(process_id)
    # The name in parentheses may itself hold spaces and parentheses.
    ticks = folder.joinpath('stat').read_text(encoding='utf-8').rpartition(')')[2].split()[11:13]
    lines = folder.joinpath('status').read_text(encoding='utf-8').splitlines()
    status = {name: rest.split() for name, _, rest in (line.partition(':') for line in lines)}
    return Usage(
        cpu_s=sum(map(int, ticks)) / os.sysconf('SC_CLK_TCK'),
        rss_kb=int(status['VmRSS'][0]),
        anonymous_kb=int(status['RssAnon'][0]),
        peak_rss_kb=int(status['VmHWM'][0]),
        threads=int(status['Threads'][0]),
    )


class ModuleProcess:
    """A module that runs in a process of its own; ends when the block ends.

    Args:
        module: Its full name.
        arguments: Its command line.
        log: File that takes what it prints.
    """

    def __init__(self, module: str, arguments: Sequence[str], log: Path) -> None:
        self._module, self._arguments, self._log = module, arguments, log

    def __enter__(self) -> Self:
        with self._log.open('wb') as log:
            self._process = subprocess.Popen(
                [sys.executable, '-m', self._module, *self._arguments],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop the process
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask the process to end and wait until it has; does nothing the second time."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def usage(self) -> Usage:
        """Return what the process has used so far."""
        return usage_of(self._process.pid)

    def check_alive(self) -> None:
        """Check that the process still runs.

        Raises:
            SelfOccError: It has ended; the sentence carries its last words.
        """
        if self._process.poll() is not None:
            raise SelfOccError(f'{self._module} has ended: {self.last_words()}')

    def last_words(self) -> str:
        """Return the last three lines of the log: the file may not outlive a failure."""
        lines = self._log.read_text(errors='replace').strip().splitlines()
        return ' / '.join(line[-500:] for line in lines[-3:]) or 'it said nothing'
