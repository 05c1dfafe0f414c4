"""Facts about the computer; nothing is changed on it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from selfocc_core.device_check.report import Machine
from selfocc_core.evaluation.machine import this_machine

_L4T_FILE = Path('/etc/nv_tegra_release')
_TIMEOUT_S = 5


def machine() -> Machine:
    """Return the computer's facts."""
    known = this_machine()
    return Machine(
        cpu=str(known['cpu']),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'),
        system=f'{platform.system()} {platform.release()} {platform.machine()}',
        l4t=l4t_release(),
        power_mode=power_mode(),
    )


def l4t_release(path: Path = _L4T_FILE) -> str | None:
    """Return the release of Jetson Linux, for example ``36.4.3``; ``None`` elsewhere."""
    try:
        text = path.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return None
    found = re.search(r'R(\d+).*REVISION:\s*([\d.]+)', text)
    return f'{found[1]}.{found[2]}' if found else text.strip().splitlines()[0] if text else None


def power_mode() -> str | None:
    """Return the power mode of a Jetson, for example ``MAXN``; ``None`` elsewhere."""
    program = shutil.which('nvpmodel')
    if program is None:
        return None
    try:
        asked = subprocess.run(
            [program, '-q'], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'Power Mode:\s*(\S+)', asked.stdout)
    return found[1] if found else None
