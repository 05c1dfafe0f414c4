"""CUDA C++ of a kernel, complete in one text that includes nothing."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING

from selfocc_core.plugin.specialization import (
    BLOCKS_PER_PROCESSOR,
    THREADS_PER_BLOCK,
    Operator,
    Specialization,
)

if TYPE_CHECKING:
    from importlib.abc import Traversable  # elsewhere from Python 3.14 on

_MAKERS = ('selfocc_core.engine', 'selfocc_core.plugin')
_COMMON = ('value.cuh', 'sample.cuh')
_KERNELS: dict[Operator, str] = {
    'MSDeformAttn': 'ms_deform_attn.cu',
    'SurroundDeformAttn': 'surround_deform_attn.cu',
}


def kernel_source(kernel: Specialization) -> str:
    """Return what to compile: the sizes as macros, then the files of the kernel."""
    files = (*_COMMON, _KERNELS[kernel.operator])
    return '\n'.join([*_macros(kernel), *map(_read, files)])


def source_hash() -> str:
    """Return a SHA-256 in hexadecimal of all that engines are made by; those of another are stale.

    That is the kernels, and the Python that specializes them and rewrites graphs.
    """
    files = [(kernel_folder() / name) for name in (*_COMMON, *sorted(_KERNELS.values()))]
    files += [resources.files('selfocc_core') / 'onnx_operators.py']
    for package in _MAKERS:
        found = [file for file in resources.files(package).iterdir() if file.name.endswith('.py')]
        files += sorted(found, key=lambda file: file.name)
    content = '\0'.join(file.read_text(encoding='utf-8') for file in files)
    return hashlib.sha256(content.encode()).hexdigest()


def kernel_folder() -> Traversable:
    """Return where the kernels lie."""
    return resources.files('selfocc_core.plugin') / 'kernels'


def _macros(kernel: Specialization) -> list[str]:
    images = 'BATCH' if kernel.operator == 'MSDeformAttn' else 'CAMERAS'
    values = {
        'SELFOCC_HALF': str(kernel.precision == 'float16').lower(),
        'WEIGHTS_HALF': str(kernel.weights == 'float16').lower(),
        images: kernel.images,
        'QUERIES': kernel.queries,
        'HEADS': kernel.heads,
        'CHANNELS': kernel.channels,
        'CHANNELS_PER_THREAD': kernel.channels_per_thread,
        'POINTS': kernel.points,
        'REFERENCES': kernel.references,
        'LEVELS': len(kernel.levels),
        'TOKENS': kernel.tokens,
        'THREADS': THREADS_PER_BLOCK,
        'BLOCKS': BLOCKS_PER_PROCESSOR,
        'FOR_EACH_LEVEL(DO)': _levels(kernel.levels),
    }
    return [f'#define {name} {value}' for name, value in values.items()]


def _levels(sizes: tuple[tuple[int, int], ...]) -> str:
    calls, first = [], 0
    for index, (height, width) in enumerate(sizes):
        calls.append(f'DO({index}, {height}, {width}, {first})')
        first += height * width
    return ' '.join(calls)


def _read(name: str) -> str:
    return (kernel_folder() / name).read_text(encoding='utf-8')
