"""The log of a training run: a JSON object on each line."""

from __future__ import annotations

import json
import math
from pathlib import Path

from selfocc_core.files import write_atomically


class TrainingLog:
    """Writes ``log.jsonl``.

    Args:
        path: The file.
        step: Step that the run goes on from. What is in the file about later steps is removed: it
            is of an older run, or of this one after its checkpoint.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        if path.exists():
            lines = path.read_text(errors='replace').splitlines(keepends=True)
            kept = [line for line in lines if _step_of(line) <= step]
            write_atomically(path, ''.join(kept).encode())

    def write(self, step: int, seconds: float, values: dict[str, float]) -> None:
        """Add a line."""
        rounded = {name: float(f'{value:.6g}') for name, value in values.items()}
        with self.path.open('a') as stream:
            line = {'step': step, 'seconds': round(seconds, 1), **rounded}
            stream.write(json.dumps(line) + '\n')


def _step_of(line: str) -> float:
    """Return the step of a line of the log, infinity for a line that was cut off."""
    try:
        return float(json.loads(line)['step'])
    except (ValueError, TypeError, KeyError):
        return math.inf
