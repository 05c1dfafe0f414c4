"""The kernels compiled for Orin and Thor, by the compilers of JetPack 6 and 7."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from selfocc_core.errors import SelfOccError
from selfocc_core.plugin import launcher, nvrtc, source
from selfocc_core.plugin.cubin import Resources, resources_of
from selfocc_core.plugin.nvrtc import Compiler, compile_cubin, compiler_for, find_compilers
from selfocc_core.plugin.source import kernel_source
from selfocc_core.plugin.specialization import Specialization

pytestmark = pytest.mark.deployment

MOST_REGISTERS = 64
PYRAMID = ((96, 200), (48, 100), (24, 50), (12, 25))  # of a 384x800 image
PLANES = ((257, 257), (25, 257), (257, 25))
ORIN, THOR = 'sm_87', 'sm_110'
BUILDS = [('12.', ORIN), ('13.', ORIN), ('13.', THOR)]
BUILD_NAMES = [' '.join(build) for build in BUILDS]
TINY = '__global__ void double_it(float* x) { x[threadIdx.x] *= 2; }'


def kernels() -> dict[str, Specialization]:
    """Return the operators of the shipped model and of the full preset ``nuscenes_occ``."""
    found = {}
    for name in ('MSDeformAttn', 'SurroundDeformAttn'):
        for precision in ('float16', 'float32'):
            both = {'operator': name, 'precision': precision, 'weights': precision}
            full = {**both, 'heads': 6, 'channels': 16}
            tiny = {**both, 'heads': 4, 'channels': 16, 'images': 6, 'levels': ((24, 44),)}
            label = f'{name}-{precision}'
            found |= {
                f'{label}-shipped-top': Specialization(**tiny, queries=4225, points=8),
                f'{label}-shipped-side': Specialization(**tiny, queries=585, points=16),
                f'{label}-full-top': Specialization(
                    **full, images=6, levels=PYRAMID, queries=66049, points=8),
                f'{label}-full-side': Specialization(
                    **full, images=6, levels=PYRAMID, queries=6425, points=48),
                f'{label}-largest': Specialization(
                    **full, images=6, levels=PYRAMID, queries=66049, points=48),
                f'{label}-planes': Specialization(
                    **full, images=1, levels=PLANES, queries=78899, points=12,
                    references=3 if name == 'SurroundDeformAttn' else 1),
            }  # fmt: skip
    return found


KERNELS = kernels()


@pytest.fixture(scope='module')
def compilers() -> list[Compiler]:
    return list(find_compilers())


def compiler_of(compilers: list[Compiler], version: str) -> Compiler:
    found = [compiler for compiler in compilers if compiler.version.startswith(version)]
    if not found:
        pytest.skip(f'no NVRTC {version}x: install nvidia-cuda-nvrtc-cu12 or nvidia-cuda-nvrtc')
    return found[0]


@pytest.mark.parametrize(('version', 'arch'), BUILDS, ids=BUILD_NAMES)
@pytest.mark.parametrize(
    'name',
    [pytest.param(name, marks=pytest.mark.slow if 'float32' in name else ()) for name in KERNELS],
)
def test_fits_registers_without_spilling(compilers, version, arch, name):
    kernel = KERNELS[name]
    compiler = compiler_of(compilers, version)
    cubin = compiler.compile(kernel_source(kernel), arch)
    needs = resources_of(cubin, kernel.kernel)
    assert needs.stack_bytes == 0
    assert 16 <= needs.registers <= MOST_REGISTERS


@pytest.mark.parametrize(('version', 'arch'), BUILDS, ids=BUILD_NAMES)
@pytest.mark.parametrize(('blocks', 'spills'), [(6, True), (1, False)])
def test_the_file_says_what_the_assembler_says(compilers, version, arch, blocks, spills):
    """Also where registers do not suffice, so that the gate above is known to see spills."""
    compiler = compiler_of(compilers, version)
    kernel = KERNELS['SurroundDeformAttn-float16-full-side']
    text = kernel_source(kernel).replace('#define BLOCKS 4', f'#define BLOCKS {blocks}')
    made = compiler.explain(text, arch, '--ptxas-options=-v')
    used = re.search(r'Used (\d+) registers', made.log)
    frame = re.search(r'(\d+) bytes stack frame, (\d+) bytes spill stores', made.log)
    assert resources_of(made.cubin, kernel.kernel) == Resources(int(used[1]), int(frame[1]))
    assert (int(frame[2]) > 0) == spills


@pytest.mark.parametrize(
    ('channels', 'precision', 'load'),
    [(16, 'float16', 'v4.u32'), (12, 'float16', 'v2.u32'), (6, 'float16', 'v2.u16'),
     (16, 'float32', 'v4.u32'), (6, 'float32', 'v2.u32'), (5, 'float16', 'u16')],
)  # fmt: skip
@pytest.mark.parametrize('name', ['MSDeformAttn', 'SurroundDeformAttn'])
def test_values_are_loaded_several_channels_at_once(compilers, name, channels, precision, load):
    kernel = Specialization(name, precision, ((8, 8),), 1, 9, 2, channels, 1)
    source = kernel_source(kernel)
    assembly = compiler_of(compilers, '12.').explain(source, ORIN).assembly
    assert len(re.findall(rf'ld\.global\.nc\.{load.replace(".u", ".[ub]")}\s', assembly)) >= 4


def test_a_type_error_is_told_in_the_compilers_words(compilers):
    with pytest.raises(SelfOccError, match=r'(?s)cannot compile.*selfocc\.cu\(1\).*undefined'):
        compiler_of(compilers, '12.').compile('__global__ void f() { missing(); }', ORIN)


def test_no_include_is_needed_nor_made():
    assert all('#include' not in kernel_source(kernel) for kernel in KERNELS.values())


def test_the_oldest_compiler_that_knows_the_gpu_is_taken(compilers, monkeypatch):
    old, new = compiler_of(compilers, '12.'), compiler_of(compilers, '13.')
    monkeypatch.setattr(nvrtc, 'find_compilers', lambda: iter([old, new]))
    compile_cubin.cache_clear()
    assert compile_cubin(TINY, ORIN) == old.compile(TINY, ORIN)
    assert compile_cubin(TINY, THOR) == new.compile(TINY, THOR)
    compile_cubin.cache_clear()


def test_a_compiler_newer_than_the_driver_is_passed_over(compilers, monkeypatch):
    """The driver of JetPack 6 (12.6) refuses machine code of CUDA 13."""
    old, new = compiler_of(compilers, '12.'), compiler_of(compilers, '13.')
    monkeypatch.setattr(nvrtc, 'find_compilers', lambda: iter([new, old]))
    assert compiler_for(ORIN, (12, 6)) is old
    assert compiler_for(ORIN, (13, 0)) is new
    compile_cubin.cache_clear()
    assert compile_cubin(TINY, ORIN, (12, 6)) == old.compile(TINY, ORIN)
    compile_cubin.cache_clear()
    monkeypatch.setattr(nvrtc, 'find_compilers', lambda: iter([new]))
    with pytest.raises(
        SelfOccError, match=r'NVRTC 13\.\d, too new for a driver of CUDA 12.*install'
    ):
        compiler_for(ORIN, (12, 6))


def test_kernels_are_compiled_for_the_driver_that_loads_them(monkeypatch):
    info = SimpleNamespace(architecture=ORIN, driver_version=(12, 6))
    asked = []
    monkeypatch.setattr(launcher, '_device', lambda: SimpleNamespace(info=info))
    monkeypatch.setattr(launcher, 'compile_cubin', lambda *given: asked.append(given) or b'')
    launcher.compile_for_device(KERNELS['MSDeformAttn-float16-full-top'])
    assert asked[0][1:] == (ORIN, (12, 6))


def test_only_the_machine_code_is_fetched(compilers, monkeypatch):
    compiler, fetched = compiler_of(compilers, '12.'), []
    read = compiler._read

    def note(program, what):
        fetched.append(what)
        return read(program, what)

    monkeypatch.setattr(compiler, '_read', note)
    compiler.compile(TINY, ORIN)
    assert fetched == ['CUBIN']
    compiler.explain(TINY, ORIN)
    assert fetched[1:] == ['CUBIN', 'PTX', 'ProgramLog']


@pytest.mark.parametrize('arch', ['sm_999', 'orin', ''])
def test_an_unknown_gpu_is_refused_with_a_remedy(arch):
    with pytest.raises(SelfOccError, match=r'no CUDA compiler for .* install'):
        compile_cubin(TINY, arch)


def test_no_compiler_at_all_is_said_with_a_remedy(monkeypatch):
    monkeypatch.setattr(nvrtc, 'find_compilers', lambda: iter(()))
    with pytest.raises(SelfOccError, match=r'found: none.*nvidia-cuda-nvrtc-cu12'):
        compile_cubin(TINY + '// not compiled before', ORIN)


def test_a_library_that_is_no_compiler_is_refused():
    with pytest.raises(SelfOccError, match='cannot use the compiler libm'):
        Compiler('libm.so.6')


def test_a_file_that_is_no_machine_code_is_refused():
    for content in (b'', b'\x7fELF\x02\x01', b'\x7fELF\x02\x01' + bytes(200)):
        with pytest.raises(SelfOccError, match='compile'):
            resources_of(content, 'double_it')


@pytest.mark.parametrize(
    'changed',
    ['surround_deform_attn.cu', 'graph_modes.py', 'half_precision.py', 'specialization.py',
     'onnx_operators.py'],
)  # fmt: skip
def test_another_source_of_graphs_or_kernels_makes_other_engines(monkeypatch, changed):
    before, read_text = source.source_hash(), Path.read_text
    monkeypatch.setattr(
        Path,
        'read_text',
        lambda path, **options: read_text(path, **options) + '\n' * (path.name == changed),
    )
    assert source.source_hash() != before
    monkeypatch.undo()
    assert source.source_hash() == before


def test_importing_the_module_loads_no_compiler():
    code = (
        'import selfocc_core.plugin.nvrtc; '
        'assert not any("libnvrtc" in line for line in open("/proc/self/maps"))'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
