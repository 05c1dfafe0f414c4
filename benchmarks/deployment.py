"""How fast a model runs on this machine's CPU, form by form, all in one run.

    python benchmarks/deployment.py runs/selfocc-tiny/model.ckpt
    python benchmarks/deployment.py runs/selfocc-tiny/model.ckpt --earlier old-export.onnx

The checkpoint is exported as it is and for a rig like that of nuScenes. Compared are both, the
general one with a body of ``GridSample`` for all pairs of camera and query (as other projects
export attention), and files of earlier exports. Rounds take turns, so that all see the same
machine; ratios are to the first row. All forms get the same images; how far their outputs are from
those of the general form is printed with them: forms of other weights cannot be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.backends.onnxruntime import OnnxRuntimeBackend
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.engine.golden import Golden
from selfocc_core.evaluation.machine import this_machine
from selfocc_core.files import sha256_of
from selfocc_core.model_card import ModelCard
from selfocc_core.onnx_operators import grid_sample_surround_function
from training.export import Export


@dataclass
class Form:
    """A model file with a number of threads, and what it took.

    Attributes:
        name: What it is.
        path: The file.
        threads: Of the runtime.
        wall_s: Of each round.
        cpu_s: Of each round, all threads together.
        difference: Largest difference of its signed distances from those of the first form, over
            their range.
    """

    name: str
    path: Path
    threads: int
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    difference: float = 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Export, measure and print a table."""
    options = _options(arguments)
    print(json.dumps(this_machine()), f'median of {options.rounds} rounds after a warm-up')
    with tempfile.TemporaryDirectory() as folder:
        files = export_forms(options.checkpoint, Path(folder)) | {
            path.stem: path for path in options.earlier
        }
        forms = [
            Form(name, path, threads)
            for threads in options.threads
            for name, path in files.items()
        ]
        measure(forms, options.rounds)
    print(table(forms))
    if options.json:
        rows = [asdict(form) | {'path': form.path.name} for form in forms]
        options.json.write_text(json.dumps({'machine': this_machine(), 'forms': rows}, indent=2))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', type=Path, help='checkpoint that selfocc train wrote')
    parser.add_argument('--earlier', type=Path, nargs='*', default=[], help='earlier exports')
    parser.add_argument('--threads', type=int, nargs='*', default=[1, 2])
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--json', type=Path, help='file for every round')
    return parser.parse_args(arguments)


def export_forms(checkpoint: Path, folder: Path) -> dict[str, Path]:
    """Export a checkpoint in all forms and return their files."""
    names = ('general', 'general, GridSample', 'for a rig')
    general, sampled, for_rig = (folder / f'{i}.onnx' for i in range(3))
    nuscenes_like_rig().to_yaml(folder / 'rig.yaml')
    with redirect_stdout(StringIO()):
        Export(checkpoint, general).run()
        Export(checkpoint, for_rig, rig=folder / 'rig.yaml').run()
    with_grid_sample(general, sampled)
    return dict(zip(names, (general, sampled, for_rig), strict=True))


def with_grid_sample(source: Path, target: Path) -> None:
    """Write a model again with another body of its attention."""
    model = onnx.load(source)
    levels = [len(node.attribute[0].ints) // 2 for node in _attention(model)]
    del model.functions[:]
    model.functions.extend(grid_sample_surround_function(count) for count in sorted(set(levels)))
    onnx.save(model, target)
    card = ModelCard.load_for(source)
    card.model_copy(update={'onnx_sha256': sha256_of(target)}).write_for(target)


def _attention(model: Any) -> Iterator[Any]:
    return (node for node in model.graph.node if node.domain == 'selfocc')


def measure(forms: Sequence[Form], rounds: int) -> None:
    """Run all forms in turn, the first round for nothing."""
    inputs = Golden.load_for(forms[0].path).inputs
    backends = [OnnxRuntimeBackend(form.path, form.threads) for form in forms]
    expected = backends[0].infer(inputs)
    for form, backend in zip(forms, backends, strict=True):
        form.difference = _difference(expected, backend.infer(inputs))
    for _ in range(rounds):
        for form, backend in zip(forms, backends, strict=True):
            _run(form, backend, inputs)


def _difference(expected: ModelOutputs, actual: ModelOutputs) -> float:
    return float(np.abs(actual.sdf - expected.sdf).max() / np.ptp(expected.sdf))


def _run(form: Form, backend: OnnxRuntimeBackend, inputs: ModelInputs) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    backend.infer(inputs)
    form.wall_s.append(time.perf_counter() - wall)
    form.cpu_s.append(time.process_time() - cpu)


def table(forms: Sequence[Form]) -> str:
    """Return a Markdown table of all forms."""
    first = statistics.median(forms[0].wall_s)
    rows = ['| form | threads | ms | CPU ms | frame sets/s | faster than the first | differs by |',
            '|---|---|---|---|---|---|---|']  # fmt: skip
    for form in forms:
        wall, cpu = statistics.median(form.wall_s), statistics.median(form.cpu_s)
        rows.append(
            f'| {form.name} | {form.threads} | {1e3 * wall:.0f} | {1e3 * cpu:.0f} | '
            f'{1 / wall:.1f} | {first / wall:.2f}x | {form.difference:.0e} |'
        )
    return '\n'.join(rows)


if __name__ == '__main__':
    # Threads that wait must sleep, not burn the time that is measured.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    main()
