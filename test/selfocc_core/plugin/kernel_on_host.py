"""Kernels compiled by the C++ compiler of this machine and run thread after thread."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from selfocc_core.plugin.operand_shapes import attended_shape, expected_shapes, expected_types
from selfocc_core.plugin.source import kernel_source
from selfocc_core.plugin.specialization import THREADS_PER_BLOCK, Specialization

SHIM = Path(__file__).with_name('host.h')
PADDING_BYTES = 256
CALLS = {
    'MSDeformAttn': ('ms_deform_attn((Value*)p[0], (Point*)p[1], (Weight*)p[2], (Value*)p[3])'),
    'SurroundDeformAttn': (
        'surround_deform_attn((Value*)p[0], (Point*)p[1], (int*)p[2], (Point*)p[3], '
        '(float*)p[4], (Value*)p[5])'
    ),
}
# Misaligned loads and numbers out of an int's range end the process instead of passing.
FLAGS = (
    '-x', 'c++', '-std=c++17', '-O1', '-shared', '-fPIC', '-fno-strict-aliasing', '-Wall',
    '-Wextra', '-Werror', '-Wno-unknown-pragmas', '-fsanitize=undefined,float-cast-overflow',
    '-fsanitize-undefined-trap-on-error',
)  # fmt: skip


def run_on_host(kernel: Specialization, *inputs: np.ndarray) -> np.ndarray:
    """Run a kernel; memory around the inputs is not a number, so that reading it shows."""
    assert [array.shape for array in inputs] == expected_shapes(kernel)
    assert [array.dtype for array in inputs] == expected_types(kernel)
    guarded = [padded(array) for array in inputs]
    result = padded(np.zeros(attended_shape(kernel), kernel.precision))
    pointers = (ctypes.c_void_p * (len(inputs) + 1))(
        *(array.ctypes.data + PADDING_BYTES for array in [*guarded, result])
    )
    build(kernel).run(kernel.blocks, THREADS_PER_BLOCK, pointers)
    content = result[PADDING_BYTES:-PADDING_BYTES]
    padding = np.concatenate([result[:PADDING_BYTES], result[-PADDING_BYTES:]])
    assert (padding == 0xFF).all(), 'wrote outside of the result'
    return content.view(kernel.precision).reshape(attended_shape(kernel))


def padded(array: np.ndarray) -> np.ndarray:
    """Return the bytes of an array between bytes 0xff, aligned as TensorRT aligns its tensors."""
    content = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
    memory = np.full(len(content) + 3 * PADDING_BYTES, 0xFF, np.uint8)
    start = -memory.ctypes.data % PADDING_BYTES
    buffer = memory[start : start + len(content) + 2 * PADDING_BYTES]
    buffer[PADDING_BYTES:-PADDING_BYTES] = content
    return buffer


@functools.cache
def build(kernel: Specialization) -> ctypes.CDLL:
    compiler = shutil.which('g++')
    if compiler is None:
        pytest.skip('no g++ to compile the kernels for this machine')
    call = f'[](void** p) {{ {CALLS[kernel.operator]}; }}'
    run = (
        'extern "C" void run(unsigned blocks, unsigned threads, void** pointers) '
        f'{{ in_every_thread(blocks, threads, {call}, pointers); }}'
    )
    text = '\n'.join([SHIM.read_text(), kernel_source(kernel), run])
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / 'kernel.so'
        subprocess.run(
            [compiler, *FLAGS, '-o', str(library), '-'], input=text, text=True, check=True
        )
        return ctypes.CDLL(str(library))
