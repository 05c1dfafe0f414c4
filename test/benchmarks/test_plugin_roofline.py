from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.plugin_roofline import (
    ARCHITECTURE,
    ORIN,
    Attention,
    attentions,
    estimate,
    table,
    totals,
    unfused_of,
    warps_on,
)
from selfocc_core.plugin.cubin import Resources
from selfocc_core.plugin.nvrtc import find_compilers
from selfocc_core.plugin.specialization import Specialization
from training.presets import PRESETS

pytestmark = pytest.mark.deployment

# Small enough for the back of an envelope: 2 cameras, 10 queries, 3 heads, 1 level, 5 points.
KERNEL = Specialization('SurroundDeformAttn', 'float16', ((4, 5),), 2, 10, 3, 16, 5)
ATTENTION = Attention('model', 'top', KERNEL, pairs=12, launches=4)


@pytest.mark.parametrize(
    ('registers', 'warps'), [(24, 48), (40, 48), (48, 40), (63, 32), (64, 32), (65, 24), (255, 8)]
)
def test_registers_limit_the_warps(registers, warps):
    assert warps_on(ORIN, Resources(registers, 0)) == warps


def test_bytes_of_the_fused_kernel():
    assert ATTENTION.traffic() == {
        'value': 2 * 20 * 48 * 2,
        'references': 12 * 5 * 2 * 4,
        'visible': 2 * 10 * 4,
        'offsets': 10 * 3 * 5 * 2 * 4,
        'logits': 10 * 3 * 5 * 4,
        'attended': 10 * 48 * 2,
    }
    assert ATTENTION.traffic_elsewhere() == 0


def test_bytes_of_the_kernel_that_is_not_fused():
    unfused = unfused_of(ATTENTION)
    assert unfused.pairs == 20
    assert unfused.traffic() == {
        'value': 2 * 20 * 48 * 2,
        'locations': 2 * 10 * 3 * 5 * 2 * 4,
        'weights': 2 * 10 * 3 * 5 * 4,
        'attended': 2 * 10 * 48 * 2,
    }
    written = 2 * 10 * 3 * 5 * 3 * 4 + 10 * 48 * 2
    read = 10 * 3 * 5 * 3 * 4 + 20 * 5 * 2 * 4 + 2 * 10 * 48 * 2
    assert unfused.traffic_elsewhere() == written + read


def test_operations_grow_with_what_is_seen():
    assert ATTENTION.samples == 12 * 3 * 5
    assert ATTENTION.operations == 12 * 3 * 5 * (8 * 16 + 30 * 2)
    assert replace(ATTENTION, pairs=24).operations == 2 * ATTENTION.operations


def test_attentions_of_the_shipped_model():
    found = {each.name: each for each in attentions(PRESETS['selfocc-tiny'])}
    assert list(found) == ['top', 'side', 'front']
    top = found['top'].kernel
    assert (top.levels, top.queries, top.points) == (((24, 44),), 65 * 65, 8)
    assert top.queries < found['top'].pairs < 2 * top.queries


def test_bounds_of_a_kernel():
    if not any(compiler.supports(ARCHITECTURE) for compiler in find_compilers()):
        pytest.skip('no NVRTC for Orin: install nvidia-cuda-nvrtc-cu12')
    row = estimate(ATTENTION, ORIN)
    assert 16 <= row['registers'] <= 64
    assert row['occupancy'] >= 2 / 3
    moved = sum(ATTENTION.traffic().values())
    assert row['memory_bound_ms'] == pytest.approx(1e3 * 4 * moved / 204.8e9)
    assert row['lower_bound_ms'] >= row['arithmetic_bound_ms'] > 0
    assert totals([row, row]) == {'model, SurroundDeformAttn': 2 * row['lower_bound_ms']}
    assert f'{row["registers"]}' in table([row]).splitlines()[-1]
