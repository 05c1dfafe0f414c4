"""Builds the ROS interface packages that PyPI lacks, into the environment that runs this.

ROS 2 from wheels has no tf2_msgs, nav2_msgs and composition_interfaces. Their definitions lie
beside this file; the generators come from wheels as well, a C++ compiler must be there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PREFIX = Path(sys.prefix)
# The wheels tell CMake where Python and NumPy lay on the machine that built the wheels.
_FOREIGN_PATH = re.compile(
    r'/opt/python/[^/]+/(?:(include/python3\.\d+)|lib/python3\.\d+/site-packages/numpy/_core/include)'
)
_SHOWN_LINES = 15


def main() -> int:
    """Install the tools, build, install; on failure say why and return 1."""
    tools = [sys.executable, '-m', 'pip', 'install', '-r', str(HERE / 'requirements.txt')]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / 'log'
        try:
            _run(tools, log)
            _correct_paths()
            for command in _cmake_commands(Path(folder) / 'build'):
                _run(command, log)
        except (OSError, subprocess.CalledProcessError) as error:
            print(*_last_lines(log), sep='\n', file=sys.stderr)
            print(
                f'tf2_msgs, nav2_msgs and composition_interfaces are not built ({error}): '
                'the tests that need them will be skipped',
                file=sys.stderr,
            )
            return 1
    return 0


def _cmake_commands(build: Path) -> list[list[str]]:
    cmake = str(PREFIX / 'bin' / 'cmake')
    options = {
        'BUILD_TESTING': 'OFF',
        'CMAKE_INSTALL_PREFIX': PREFIX,
        'CMAKE_MAKE_PROGRAM': PREFIX / 'bin' / 'ninja',
        'CMAKE_PREFIX_PATH': PREFIX,
        'Python3_EXECUTABLE': sys.executable,
    }
    defined = [f'-D{name}={value}' for name, value in options.items()]
    return [
        [cmake, '-S', str(HERE), '-B', str(build), '-G', 'Ninja', *defined],
        [cmake, '--build', str(build), '--target', 'install'],
    ]


def _correct_paths() -> None:
    """Let the installed CMake files name this environment's headers."""
    import numpy as np

    python, numpy = sysconfig.get_path('include'), np.get_include()
    for path in (PREFIX / 'share').glob('*/cmake/*.cmake'):
        text = path.read_text()
        corrected = _FOREIGN_PATH.sub(lambda found: python if found[1] else numpy, text)
        if corrected != text:
            path.write_text(corrected)


def _run(command: Sequence[str], log: Path) -> None:
    # Compilers must not load the libraries of the wheels; a Python of this environment finds them.
    not_ours = ('LD_LIBRARY_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE')
    environment = {name: value for name, value in os.environ.items() if name not in not_ours}
    environment['AMENT_PREFIX_PATH'] = str(PREFIX)
    with log.open('ab') as stream:
        subprocess.run(
            command, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=True
        )


def _last_lines(log: Path) -> list[str]:
    return log.read_text(errors='replace').splitlines()[-_SHOWN_LINES:] if log.exists() else []


if __name__ == '__main__':
    sys.exit(main())
