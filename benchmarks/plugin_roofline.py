"""How fast the deformable attention plugin could be on a Jetson AGX Orin at best; nothing is run.

    python -m benchmarks.plugin_roofline --presets nuscenes_occ,selfocc-tiny

For each attention of a model and both operators: bytes that must cross the memory bus, operations,
and how many threads fit on the GPU by the registers of the compiled kernel. From these follow two
bounds: no kernel that does this work can take less time. They are no measurements, and a kernel
that gathers single pixels will take longer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.plugin.cubin import Resources, resources_of
from selfocc_core.plugin.nvrtc import compile_cubin
from selfocc_core.plugin.source import kernel_source
from selfocc_core.plugin.specialization import THREADS_PER_BLOCK, Specialization
from training.config import Preset
from training.model.encoder import anchor_counts
from training.model.planes import pillar_anchors, planes_of
from training.model.projection import Views, padded_size, project
from training.presets import PRESETS

ARCHITECTURE = 'sm_87'
HALF, SINGLE = 2, 4
WARP = 32


@dataclass(frozen=True)
class Gpu:
    """Peak numbers of a GPU, and where they are published.

    Attributes:
        name: Of the module.
        bytes_per_s: Of the memory.
        flops_per_s: In float32, a multiplication and its addition counted as two.
        multiprocessors: Streaming multiprocessors.
        warps: That a multiprocessor holds.
        blocks: That a multiprocessor holds.
        registers: 32-bit registers of a multiprocessor.
        register_unit: Registers are given to a warp in multiples of this.
        sources: Where the numbers come from.
    """

    name: str
    bytes_per_s: float
    flops_per_s: float
    multiprocessors: int
    warps: int
    blocks: int
    registers: int
    register_unit: int
    sources: tuple[str, ...]


ORIN = Gpu(
    name='Jetson AGX Orin 64GB, MAXN',
    bytes_per_s=204.8e9,
    flops_per_s=5.3e12,
    multiprocessors=16,
    warps=48,
    blocks=16,
    registers=65536,
    register_unit=256,
    sources=(
        'NVIDIA Jetson AGX Orin Series, Technical Brief: 16 SM, 2048 cores, 5.3 FP32 TFLOPS '
        '(at the highest clock, 1.3 GHz), 256-bit LPDDR5 at 204.8 GB/s',
        'CUDA C++ Programming Guide, technical specifications of compute capability 8.7: '
        '48 warps, 16 blocks and 65536 registers of a multiprocessor; given in units of 256',
    ),
)

ASSUMPTIONS = (
    'values and results float16, all else float32; weights of MSDeformAttn float32',
    'every tensor crosses the memory bus once; that is optimistic for values, which may be larger '
    'than the L2 cache of 4 MB (gathered: what all threads ask for, whatever cache answers)',
    'a camera-query pair that does not see each other costs the fused kernel nothing but its '
    'int32; MSDeformAttn computes all pairs',
    'visible pairs: anchors projected into the nuScenes-like rig of this project',
    'a sample costs 8 operations per channel (4 corners, multiply and add) and 30 per thread '
    '(place, exponential, corner shares)',
    'MSDeformAttn also makes others write its locations and weights and average its cameras: '
    'these bytes stand in their own column',
    'the bound is the larger of bytes / bandwidth and operations / peak: a lower bound by '
    'arithmetic, not a latency that was measured; neither launches nor latency of loads are in it',
)


@dataclass(frozen=True)
class Attention:
    """One kernel of a model.

    Attributes:
        model: Name of the preset.
        name: What it attends to.
        kernel: Sizes and types.
        pairs: Of an image and a query that are computed.
        launches: For one frame set.
    """

    model: str
    name: str
    kernel: Specialization
    pairs: int
    launches: int

    @property
    def samples(self) -> int:
        """Places of all heads at which values are read."""
        kernel = self.kernel
        return self.pairs * kernel.heads * len(kernel.levels) * kernel.points

    @property
    def operations(self) -> int:
        """Operations in float32."""
        kernel = self.kernel
        threads = kernel.channels // kernel.channels_per_thread
        return self.samples * (8 * kernel.channels + 30 * threads)

    @property
    def gathered_bytes(self) -> int:
        """Bytes of values that threads ask for, four corners for each sample."""
        return self.samples * 4 * self.kernel.channels * HALF

    def traffic(self) -> dict[str, int]:
        """Return the bytes of each tensor that the kernel reads or writes."""
        kernel = self.kernel
        width = kernel.heads * kernel.channels
        values = {'value': kernel.images * kernel.tokens * width * HALF}
        sampled = kernel.queries * kernel.heads * len(kernel.levels) * kernel.points
        if kernel.operator == 'MSDeformAttn':
            return values | {
                'locations': kernel.images * sampled * 2 * SINGLE,
                'weights': kernel.images * sampled * SINGLE,
                'attended': kernel.images * kernel.queries * width * HALF,
            }
        return values | {
            'references': self.pairs * kernel.references * kernel.points * 2 * SINGLE,
            'visible': kernel.images * kernel.queries * SINGLE,
            'offsets': sampled * 2 * SINGLE,
            'logits': sampled * SINGLE,
            'attended': kernel.queries * width * HALF,
        }

    def traffic_elsewhere(self) -> int:
        """Return the bytes that other kernels move because this one is not fused."""
        if self.kernel.operator == 'SurroundDeformAttn':
            return 0
        moved, fused = self.traffic(), fused_of(self).traffic()
        # Offsets, logits and references are read to write locations and weights; then all
        # cameras' results are read and one is written.
        read = sum(fused[name] for name in ('references', 'offsets', 'logits'))
        return read + moved['locations'] + moved['weights'] + moved['attended'] + fused['attended']


def fused_of(attention: Attention) -> Attention:
    """Return the same attention as ``SurroundDeformAttn`` that computes all pairs."""
    return replace(attention, kernel=replace(attention.kernel, operator='SurroundDeformAttn'))


def unfused_of(attention: Attention) -> Attention:
    """Return the same attention as ``MSDeformAttn`` with the cameras as its batch."""
    kernel = replace(attention.kernel, operator='MSDeformAttn')
    return replace(attention, kernel=kernel, pairs=kernel.images * kernel.queries)


def attentions(preset: Preset) -> list[Attention]:
    """Return the attentions of a model's encoder in the fused form."""
    found = _image_attentions(preset)
    encoder, grid = preset.model.encoder, preset.model.grid
    if encoder.self_points:
        levels = tuple(plane.shape(grid) for plane in planes_of(encoder.view))
        queries = sum(rows * columns for rows, columns in levels)
        kernel = _kernel(preset, levels, 1, queries, encoder.self_points, len(levels))
        found.append(Attention(preset.name, 'planes', kernel, queries, encoder.layers))
    return found


def _image_attentions(preset: Preset) -> list[Attention]:
    config = preset.model
    views = _views(preset)
    levels = tuple((views.padded[0] // (4 << level), views.padded[1] // (4 << level))
                   for level in range(config.backbone.levels))  # fmt: skip
    found = []
    for plane, points in zip(planes_of(config.encoder.view), anchor_counts(config), strict=True):
        seen = project(pillar_anchors(plane, config.grid, points), views).visible.any(-1)
        kernel = _kernel(preset, levels, config.input.cameras, seen.shape[2], points, 1)
        found.append(
            Attention(preset.name, plane.name, kernel, int(seen.sum()), config.encoder.layers)
        )
    return found


def _kernel(
    preset: Preset,
    levels: tuple[tuple[int, int], ...],
    images: int,
    queries: int,
    points: int,
    references: int,
) -> Specialization:
    encoder = preset.model.encoder
    return Specialization(
        operator='SurroundDeformAttn',
        precision='float16',
        levels=levels,
        images=images,
        queries=queries,
        heads=encoder.heads,
        channels=encoder.dim // encoder.heads,
        points=points,
        references=references,
    )


def _views(preset: Preset) -> Views:
    config = preset.model.input
    if config.cameras != 6:
        raise SystemExit(f'{preset.name} has {config.cameras} cameras, the rig assumed here 6')
    rig = nuscenes_like_rig(config.width, config.height)
    projections = [torch.from_numpy(camera.image_from_ego).float() for camera in rig.cameras]
    size = (config.height, config.width)
    mask = torch.ones(1, len(projections), dtype=torch.bool)
    padded = padded_size(size, preset.model.backbone.levels)
    return Views(torch.stack(projections)[None], mask, size, padded)


def warps_on(gpu: Gpu, needs: Resources) -> int:
    """Return how many warps of a kernel a multiprocessor holds at once."""
    registers = -(-needs.registers * WARP // gpu.register_unit) * gpu.register_unit
    of_block = THREADS_PER_BLOCK // WARP
    blocks = min(gpu.registers // registers // of_block, gpu.warps // of_block, gpu.blocks)
    return blocks * of_block


def estimate(attention: Attention, gpu: Gpu) -> dict[str, Any]:
    """Return all numbers of one kernel; times in milliseconds for all launches."""
    kernel = attention.kernel
    needs = resources_of(compile_cubin(kernel_source(kernel), ARCHITECTURE), kernel.kernel)
    moved, warps = sum(attention.traffic().values()), warps_on(gpu, needs)
    memory_ms = 1e3 * attention.launches * moved / gpu.bytes_per_s
    arithmetic_ms = 1e3 * attention.launches * attention.operations / gpu.flops_per_s
    resident = gpu.multiprocessors * warps * WARP
    return {
        'model': attention.model,
        'attention': attention.name,
        'operator': kernel.operator,
        'launches': attention.launches,
        'kernel': asdict(kernel),
        'images_per_query': attention.pairs / kernel.queries,
        'traffic_bytes': attention.traffic(),
        'traffic_elsewhere_bytes': attention.traffic_elsewhere(),
        'gathered_bytes': attention.gathered_bytes,
        'operations': attention.operations,
        'operations_per_byte': attention.operations / moved,
        'registers': needs.registers,
        'stack_bytes': needs.stack_bytes,
        'occupancy': warps / gpu.warps,
        'waves': kernel.threads / resident,
        'memory_bound_ms': memory_ms,
        'arithmetic_bound_ms': arithmetic_ms,
        'lower_bound_ms': max(memory_ms, arithmetic_ms),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the numbers of some kernels for people; bytes and operations of one launch."""
    head = (
        'model         attention  operator           launches  images  bytes  (elsewhere)  '
        'gathered  operations  op/byte  registers  occupancy  waves  bound'
    )
    units = (
        '                                                     /query     MB           MB  '
        '      MB       GFLOP                                           ms'
    )
    return '\n'.join([head, units, *map(_line, rows)])


def _line(row: dict[str, Any]) -> str:
    return (
        '{model:<13} {attention:<10} {operator:<18} {launches:>8} {images_per_query:>7.2f} '
        '{bytes:>6.1f} {elsewhere:>12.1f} {gathered:>9.1f} {giga:>11.2f} '
        '{operations_per_byte:>8.1f} {registers:>10} {occupancy:>10.1%} {waves:>6.1f} '
        '{lower_bound_ms:>6.3f}'
    ).format(
        bytes=sum(row['traffic_bytes'].values()) / 1e6,
        elsewhere=row['traffic_elsewhere_bytes'] / 1e6,
        gathered=row['gathered_bytes'] / 1e6,
        giga=row['operations'] / 1e9,
        **row,
    )


def totals(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return the sum of the bounds of each model and operator in milliseconds."""
    found: dict[str, float] = {}
    for row in rows:
        key = f'{row["model"]}, {row["operator"]}'
        found[key] = found.get(key, 0.0) + row['lower_bound_ms']
    return found


def main() -> None:
    """Print the table, the assumptions and the sources."""
    options = _options()
    rows = []
    for name in options.presets.split(','):
        for fused in attentions(PRESETS[name]):
            rows += [estimate(fused, ORIN), estimate(unfused_of(fused), ORIN)]
    print(table(rows))
    for key, bound_ms in totals(rows).items():
        print(f'{key}: at least {bound_ms:.3f} ms for one frame set')
    print(f'\n{ORIN.name}; compiled for {ARCHITECTURE}, {THREADS_PER_BLOCK} threads in a block.')
    print('\n'.join(f'- {line}' for line in (*ORIN.sources, *ASSUMPTIONS)))
    if options.json:
        report = {'gpu': asdict(ORIN), 'assumptions': ASSUMPTIONS, 'kernels': rows}
        options.json.write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--presets', default='nuscenes_occ,selfocc-tiny', help='separated by ,')
    parser.add_argument('--json', type=Path, help='write all numbers here')
    return parser.parse_args()


if __name__ == '__main__':
    main()
