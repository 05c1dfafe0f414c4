"""play_launch, a launcher from PyPI: evaluates unmodified launch files and runs what they start.

It is no part of ROS and carries its own understanding of launch files. It was built for another
Python and for ROS from apt; here it gets the running Python and ROS from wheels.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parents[2]
PACKAGE = 'selfocc_ros'
EXPECTED_PYTHON = 'libpython3.10.so.1.0'
NODE = """#!{python}
import sys
from selfocc_ros.surround_node import main
sys.exit(main())
"""
PROBE = """
from launch import LaunchDescription
def generate_launch_description():
    return LaunchDescription([])
"""
# As root it would sort processes into control groups of its own: it gets none to write to.
WITHOUT_CGROUPS = [
    *('unshare', '--mount', 'sh', '-c'),
    *('mount -t tmpfs -o ro none /sys/fs/cgroup && exec "$@"', 'sh'),
]


class Launcher:
    """Runs play_launch in a folder of its own, on a package that is installed there.

    Raises:
        RuntimeError: It cannot run here; says why.
    """

    def __init__(self, folder: Path) -> None:
        import play_launch

        self._package = Path(play_launch.__file__).parent
        self._folder = folder
        self._install()
        self._offer_python()
        (folder / 'probe.launch.py').write_text(PROBE)
        self.evaluate(folder / 'probe.launch.py')

    def evaluate(self, *arguments: object) -> dict:
        """Return the nodes that a launch file starts, by name."""
        model = self._folder / 'model.yaml'
        done = subprocess.run(
            self._command('dump', '--output', model, 'launch', *arguments),
            env=self._environment(),
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip() or f'status {done.returncode}')
        return yaml.safe_load(model.read_text())['structure'].get('nodes') or {}

    def start(self, *arguments: object) -> subprocess.Popen:
        """Start what a launch file starts.

        Raises:
            RuntimeError: We are root and cannot keep it from the control groups.
        """
        contained = WITHOUT_CGROUPS if os.geteuid() == 0 else []
        if subprocess.run([*contained, 'true'], check=False).returncode != 0:
            raise RuntimeError('control groups cannot be hidden from it')
        return subprocess.Popen(
            [*contained, *self._command('launch', '--disable-all', *arguments)],
            env=self._environment(),
            cwd=self._folder,
            start_new_session=True,
        )

    def node_file(self, name: str) -> Path:
        """Return a file about the newest run of the node: out, err, pid."""
        return self._folder / 'play_log' / 'latest' / 'node' / 'surround' / name

    def _command(self, *arguments: object) -> list[str]:
        return [str(self._package / 'bin' / 'play_launch'), *map(str, arguments)]

    def _install(self) -> None:
        """Lay the package out as colcon does; links would not be followed."""
        share = self._folder / 'share' / PACKAGE
        index = self._folder / 'share' / 'ament_index' / 'resource_index' / 'packages'
        executables = self._folder / 'lib' / PACKAGE
        for made in (share, index, executables):
            made.mkdir(parents=True)
        for name in ('launch', 'config'):
            shutil.copytree(CHECKOUT / name, share / name)
        (index / PACKAGE).touch()
        (executables / 'surround_node').write_text(NODE.format(python=sys.executable))
        (executables / 'surround_node').chmod(0o755)

    def _offer_python(self) -> None:
        names = (sysconfig.get_config_var('LIBDIR'), sysconfig.get_config_var('INSTSONAME'))
        library = Path(*names)
        if library.suffix == '.a' or not library.exists():
            raise RuntimeError('this Python has no shared library')
        (self._folder / EXPECTED_PYTHON).symlink_to(library)

    def _environment(self) -> dict[str, str]:
        ours = os.environ.get('LD_LIBRARY_PATH', '')
        return {
            **os.environ,
            'LD_LIBRARY_PATH': f'{self._folder}:{self._package / "lib"}:{ours}',
            '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1',  # the embedded Python cannot start itself again
            'AMENT_PREFIX_PATH': f'{self._folder}:{sys.prefix}',
            'PYTHONPATH': f'{CHECKOUT}:{sysconfig.get_path("platlib")}',
        }
