"""Compare this implementation with a recording of the original.

    python -m training.parity FILE.npz [--json]

Prints every comparison with its relative error; exits with 1 if any array disagrees or if the file
is not usable.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from selfocc_core.errors import SelfOccError
from training.parity.comparison import Comparison
from training.parity.gradients import compare_parameter_gradients
from training.parity.network import RecordedNetwork
from training.parity.recording import Recording, read_recording
from training.parity.rendering import compare_all, recorded_variance, recorded_volume

# Inputs, weights and random draws; weighted losses only say what the weights are.
_GIVEN = re.compile(r'in/.*|w/.*|(eval|train)/(rand_\d+|np_uniform|loss_\w+_weighted)')
_FEATURES = re.compile(r'(eval|train)/backbone_\d')


_INCONSISTENT = (
    ArithmeticError, LookupError, MemoryError, RecursionError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip


def compare(recording: Recording) -> Iterator[Comparison]:
    """Yield every comparison that the recording allows.

    Rendering and losses start from the recorded volume, so that an error shows where it is made;
    gradients of the parameters go through the whole network.
    """
    network = RecordedNetwork(recording)
    yield from network.compare_geometry()
    for phase in ('eval', 'train'):
        yield from network.compare_network(phase)
        yield from network.compare_occupancy(phase)
        volume, variance = recorded_volume(recording, phase), recorded_variance(recording, phase)
        yield from compare_all(recording, phase, volume, variance)
    yield from compare_parameter_gradients(network)


def not_compared(recording: Recording, comparisons: list[Comparison]) -> list[str]:
    """Return the recorded results that no comparison is about."""
    compared = {comparison.name for comparison in comparisons}
    rest = [key for key in recording.arrays if key not in compared and not _GIVEN.fullmatch(key)]
    has_backbone = any(key.startswith('w/img_backbone.') for key in recording.arrays)
    return rest if has_backbone else [key for key in rest if not _FEATURES.fullmatch(key)]


def main() -> int:
    """Run the program and return its exit status."""
    parser = argparse.ArgumentParser(prog='python -m training.parity', description=__doc__)
    parser.add_argument('file', type=Path, help='recorded arrays (.npz)')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    options = parser.parse_args()
    try:
        recording = read_recording(options.file)
        comparisons = list(compare(recording))
    except SelfOccError as error:
        print(f'training.parity: {error}', file=sys.stderr)
        return 1
    except _INCONSISTENT as error:  # a file may record anything
        reason = f'{type(error).__name__}: {error}'.splitlines()[0][:200]
        print(
            f'training.parity: {options.file} does not hold together ({reason}): record it again',
            file=sys.stderr,
        )
        return 1
    forgotten = not_compared(recording, comparisons)
    show = _as_json if options.json else _as_table
    print(show(comparisons, forgotten))
    return 0 if all(comparison.agrees for comparison in comparisons) else 1


def _as_table(comparisons: list[Comparison], forgotten: list[str]) -> str:
    lines = [
        f'{_verdict(c):9} {c.relative_error:9.1e} of {c.tolerance:.1e}  {c.name}'
        for c in comparisons
    ]
    wrong = sum(not c.agrees for c in comparisons)
    lines += [f'not compared        {name}' for name in forgotten]
    return '\n'.join([*lines, f'{len(comparisons)} comparisons, {wrong} disagree'])


def _verdict(comparison: Comparison) -> str:
    return '' if comparison.agrees else 'DISAGREES'


def _as_json(comparisons: list[Comparison], forgotten: list[str]) -> str:
    # JSON has no infinity: null is the error of what cannot be compared.
    entries = [
        {**c._asdict(), 'agrees': c.agrees}
        | ({} if math.isfinite(c.relative_error) else {'relative_error': None})
        for c in comparisons
    ]
    agrees = all(c.agrees for c in comparisons)
    report = {'agrees': agrees, 'comparisons': entries, 'not_compared': forgotten}
    return json.dumps(report)


if __name__ == '__main__':
    sys.exit(main())
