"""The machine that a result was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def this_machine() -> dict[str, object]:
    """Return its processor, the cores this process may use, and its Python."""
    return {
        'cpu': _cpu_name(),
        'cores': len(os.sched_getaffinity(0)),
        'python': platform.python_version(),
    }


def _cpu_name() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()
