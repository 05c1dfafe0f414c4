"""The node in a process of its own, started as a launch file starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import yaml
from typing_extensions import Self

from selfocc_core.errors import SelfOccError
from selfocc_core.files import write_atomically
from selfocc_ros.transport import child_environment, config_file

_STOP_TIMEOUT_S = 20.0


def ros_arguments(
    parameters_file: Path, name: str = 'surround', namespace: str = '/'
) -> list[str]:
    """Return the arguments that ``surround.launch.py`` gives the node."""
    return [
        '--ros-args',
        *('-r', f'__node:={name}'),
        *('-r', f'__ns:={namespace}'),
        *('--params-file', str(config_file('surround.yaml'))),
        *('--params-file', str(parameters_file)),
    ]


def write_parameters(path: Path, parameters: Mapping[str, object]) -> None:
    """Write a parameter file that holds for any node."""
    content = {'/**': {'ros__parameters': dict(parameters)}}
    write_atomically(path, yaml.safe_dump(content).encode())


class NodeProcess:
    """A running node; ends cleanly when the block ends.

    Args:
        parameters_file: YAML file that overrides the defaults.
        log: File that takes what the node prints.
    """

    def __init__(self, parameters_file: Path, log: Path) -> None:
        self._parameters_file, self._log = parameters_file, log

    def __enter__(self) -> Self:
        with self._log.open('wb') as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, '-m', 'selfocc_ros.surround_node'),
                    *ros_arguments(self._parameters_file),
                ],
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop the node
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if kind is None and status != 0:
            raise SelfOccError(f'the node ended with status {status}: {self.last_words()}')

    def check_alive(self) -> None:
        """Check that the node still runs.

        Raises:
            SelfOccError: It has ended; the sentence carries its last words.
        """
        if self.process.poll() is not None:
            raise SelfOccError(f'the node has ended: {self.last_words()}')

    def last_words(self) -> str:
        """Return the last three lines of the log: the file may not outlive a failure."""
        lines = self._log.read_text(errors='replace').strip().splitlines()
        return ' / '.join(line[-500:] for line in lines[-3:]) or 'it said nothing'
