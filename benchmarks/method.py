"""What the method costs on this machine: CPU time and memory of forward passes and training steps.

    python benchmarks/method.py                 # the original's `small` configuration
    python benchmarks/method.py --preset nuscenes_occ --modes forward --repeats 1

Each mode runs in a process of its own, so that its peak memory is its own; images are random.
CPU time is user plus system time of all threads. The last column repeats what docs/method.md
says of the original on other two-core machines: compare with care.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from training.presets import PRESETS

if TYPE_CHECKING:
    from training.config import Preset
    from training.data.sampler import Sample

# Before torch starts its threads: waiting ones must sleep, not burn the time that is measured.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

MODES = ('forward', 'step')
# CPU-seconds and GB of the original, measured for docs/method.md.
ORIGINAL = {
    ('method_small', 'forward'): (9.5, 1.47),
    ('method_small', 'step'): (25.7, 5.96),
    ('method_tiny', 'forward'): (0.49, 0.47),
    ('method_tiny', 'step'): (4.1, 0.78),
    ('nuscenes_occ', 'forward'): (94.5, 8.18),
}


@dataclass(frozen=True)
class Cost:
    """Cost of one mode.

    Attributes:
        cpu_s: Median CPU-seconds of the repeats.
        wall_s: Median wall-clock seconds.
        cpu_s_all: CPU-seconds of every repeat.
        peak_gb: Largest resident memory of the process, Python and torch included.
    """

    cpu_s: float
    wall_s: float
    cpu_s_all: list[float]
    peak_gb: float


def main() -> None:
    """Measure in child processes and print a table."""
    options = _options()
    if options.child:
        print(json.dumps(asdict(measure(options.preset, options.child, options))))
        return
    print(machine())
    print(
        f'preset {options.preset}, {options.threads} threads, median of {options.repeats} after '
        f'{options.warm_up} warm-up'
    )
    print(f'{"":10}{"CPU s":>8}{"wall s":>8}{"peak GB":>9}   original CPU s / GB')
    results = {}
    for mode in options.modes:
        cost = _in_child(mode)
        results[mode] = asdict(cost)
        original = ORIGINAL.get((options.preset, mode))
        told = f'{original[0]} / {original[1]}' if original else '-'
        print(f'{mode:10}{cost.cpu_s:8.2f}{cost.wall_s:8.2f}{cost.peak_gb:9.2f}   {told}')
    if options.json:
        record = {'machine': machine(), 'preset': options.preset, 'costs': results}
        options.json.write_text(json.dumps(record, indent=2) + '\n')


def measure(preset_name: str, mode: str, options: argparse.Namespace) -> Cost:
    """Run one mode in this process."""
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    preset = PRESETS[preset_name]
    if options.checkpoint:
        preset = with_checkpoints(preset)
    work = forward_pass(preset) if mode == 'forward' else training_step(preset)
    for _ in range(options.warm_up):
        work()
    clocks = [_timed(work) for _ in range(options.repeats)]
    cpu_s, wall_s = zip(*clocks, strict=True)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return Cost(statistics.median(cpu_s), statistics.median(wall_s), list(cpu_s), peak_gb)


def forward_pass(preset: Preset) -> Callable[[], object]:
    """Images to field, and a lattice of rays in every image, without gradients."""
    import torch

    from training.model.selfocc import SelfOcc
    from training.objective import ego_from_image
    from training.rendering.bins import stratified_bins
    from training.rendering.box import intersect_box
    from training.rendering.derivatives import gradient_volume
    from training.rendering.lattice import fixed_lattice
    from training.rendering.rays import rays_through
    from training.rendering.render import render

    model = SelfOcc(preset.model).eval()
    sample = random_sample(preset)
    view, config = sample.supervisions[0][1].anchor, preset.render

    @torch.no_grad()
    def work() -> object:
        current = sample.current
        (field,) = model(
            current.images[None], current.image_from_ego[None], sample.camera_mask[None]
        )
        height, width = view.images.shape[1:3]
        pixels = fixed_lattice(height, width, config.rows, config.columns)
        rays = rays_through(pixels, ego_from_image(view.image_from_ego).float())
        bins = stratified_bins(intersect_box(rays, field.grid), config.samples)
        return render(
            field, gradient_volume(field.sdf, field.grid), rays, bins, model.sharpness(),
            chunk_rays=len(pixels),
        )  # fmt: skip

    return work


def training_step(preset: Preset) -> Callable[[], object]:
    """Forward, all losses of the preset, backward, clipping and AdamW."""
    import torch

    from training.model.selfocc import SelfOcc
    from training.trainer import objective_for

    model = SelfOcc(preset.model).train()
    sample = random_sample(preset)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    objective = objective_for(preset, 2500, torch.Generator().manual_seed(0))

    def work() -> object:
        current = sample.current
        (field,) = model(
            current.images[None], current.image_from_ego[None], sample.camera_mask[None]
        )
        losses = objective(field, sample, model.sharpness())
        optimizer.zero_grad(set_to_none=True)
        losses['total'].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), preset.optimizer.clip_norm)
        optimizer.step()
        return losses['total'].item()

    return work


def with_checkpoints(preset: Preset) -> Preset:
    """Return the preset that recomputes encoder layers in the backward pass."""
    model = replace(preset.model, encoder=replace(preset.model.encoder, checkpoint=True))
    return replace(preset, model=model)


def random_sample(preset: Preset) -> Sample:
    """Return random images of a surround rig that drives half a metre between frames."""
    import numpy as np
    import torch

    from selfocc_core.cameras import nuscenes_like_rig
    from training.data.sampler import Sample, Supervision, View

    config = preset.model.input
    generator = torch.Generator().manual_seed(1)

    def view(height: int, width: int, driven_m: float) -> View:
        rig = list(nuscenes_like_rig(width, height))[: config.cameras]
        projections = torch.tensor(np.stack([camera.image_from_ego for camera in rig]))
        projections[:, :, 3] -= driven_m * projections[:, :, 0]
        shape = len(rig), height, width
        images = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, max(1, preset.model.decoder.classes), shape, generator=generator)
        return View(images, projections.float(), labels)

    size = config.supervision_height, config.supervision_width
    sources = view(*size, driven_m=-0.5), view(*size, driven_m=0.5)
    supervision = Supervision(view(*size, driven_m=0.0), sources)
    return Sample(
        current=view(config.height, config.width, 0.0),
        camera_mask=torch.ones(config.cameras, dtype=torch.bool),
        supervisions=((1.0, supervision),),
        swept=torch.zeros(1, 3),
    ).in_volume(torch.tensor(preset.model.frame.ego_from_volume))


def machine() -> str:
    """Describe the machine in a line."""
    import torch

    cpu, info = platform.machine(), Path('/proc/cpuinfo')
    if info.exists():
        names = re.findall(r'model name\s*: (.*)', info.read_text())
        cpu = names[0] if names else cpu
    python = platform.python_version()
    return f'{cpu}, {os.cpu_count()} cores, Python {python}, torch {torch.__version__}'


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def _in_child(mode: str) -> Cost:
    command = [sys.executable, __file__, *sys.argv[1:], '--child', mode]
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f'{mode} failed with status {result.returncode}: see above')
    return Cost(**json.loads(result.stdout.splitlines()[-1]))


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} is less than 1')
    return int(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--preset', default='method_small', choices=PRESETS, help='configuration to run'
    )
    parser.add_argument('--modes', nargs='+', choices=MODES, default=MODES, help='what to measure')
    parser.add_argument('--repeats', type=_positive, default=5, help='measured runs')
    parser.add_argument('--warm-up', type=int, default=1, help='runs before')
    parser.add_argument(
        '--threads', type=_positive, default=2, help='threads of torch and our kernels'
    )
    parser.add_argument(
        '--checkpoint', action='store_true',
        help='recompute encoder layers in the backward pass',
    )  # fmt: skip
    parser.add_argument('--json', type=Path, help='also write the result here')
    parser.add_argument('--child', choices=MODES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == '__main__':
    main()
