"""The bindings themselves, on a driver library that only writes down what arrives."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.deployment,
    pytest.mark.skipif(shutil.which('gcc') is None, reason='needs a C compiler'),
]
HERE = Path(__file__).parent

BEGIN = """
import ctypes, json
import numpy as np
from selfocc_core.errors import SelfOccError

class Seen(ctypes.Structure):
    _fields_ = [('taken', ctypes.c_int), ('contexts', ctypes.c_int), ('flags', ctypes.c_int),
                ('mode', ctypes.c_int), ('sizes', ctypes.c_int * 7),
                ('arguments', ctypes.c_uint64 * 2)]

def seen():
    where = ctypes.CDLL('libcuda.so.1').selfocc_seen
    where.restype = ctypes.POINTER(Seen)
    found = where().contents
    return {name: list(value) if hasattr(value, '__len__') else value
            for name, value in ((name, getattr(found, name)) for name, _ in Seen._fields_)}

def launch(driver, stream):
    module = driver.load_module(b'\\x7fELF\\0cubin')
    function = driver.function(module, 'attend')
    arguments = [np.uint64(2**40 + 1), np.int32(-3)]
    graph = driver.capture(
        stream, lambda: driver.launch(function, (1, 2, 3), (4, 5, 6), arguments, stream, 7))
    driver.launch_graph(graph, stream)
    try:
        driver.function(module, 'other')
    except SelfOccError as error:
        return str(error)
"""
CUDA_PYTHON = """
from selfocc_core.cuda.cuda_python_driver import CudaPythonDriver
from cuda.bindings import driver as cuda
driver = CudaPythonDriver(cuda)
"""
PYCUDA = """
import os, sys
sys.setdlopenflags(os.RTLD_LAZY)  # the library has only what we use
import pycuda.driver
from selfocc_core.cuda.libcuda import LibCuda
from selfocc_core.cuda.pycuda_driver import PyCudaDriver
driver = PyCudaDriver(pycuda.driver, LibCuda.load())
"""
EVERYTHING = """
found = {'name': driver.info.name, 'driver_version': driver.info.driver_version}
with driver.current():
    found['memory'] = driver.memory_bytes()
    pointer, host = driver.allocate(16), driver.allocate_host(16, mapped=True)
    found['is_mapped'] = host.device_pointer == host.array.ctypes.data
    stream, start, end = driver.create_stream(), driver.create_event(), driver.create_event()
    host.array[:] = range(16)
    driver.copy_to_device(pointer, host.array, stream)
    host.array[:] = 0
    driver.copy_to_host(host.array, pointer, stream)
    found['copied'] = host.array.tolist()
    driver.record(start, stream)
    driver.record(end, stream)
    driver.synchronize(stream)
    found['elapsed_ms'] = driver.elapsed_ms(start, end)
    found['unknown'] = launch(driver, stream)
    try:
        driver.allocate(2**30)
    except SelfOccError as error:
        found['refused'] = str(error)
driver.close()
print(json.dumps({**found, **seen()}))
"""
LIBCUDA = """
from selfocc_core.cuda.driver_calls import DriverCalls
from selfocc_core.cuda.libcuda import LibCuda
driver = DriverCalls(LibCuda.load())
unknown = launch(driver, 1)
driver._ledger.close()
print(json.dumps({'unknown': unknown, **seen()}))
"""


@pytest.fixture(scope='module')
def stub(tmp_path_factory):
    """A folder with the driver library."""
    folder = tmp_path_factory.mktemp('stub')
    source, library = HERE / 'stub_libcuda.c', folder / 'libcuda.so.1'
    subprocess.run(['gcc', '-shared', '-fPIC', '-o', library, source, '-ldl'], check=True)
    return folder


def run(stub: Path, script: str) -> dict:
    path = os.pathsep.join([str(HERE.parents[2]), *sys.path])
    environment = {**os.environ, 'LD_LIBRARY_PATH': str(stub), 'PYTHONPATH': path}
    command = [sys.executable, '-c', BEGIN + script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def assert_launched(found: dict) -> None:
    assert found['sizes'] == [1, 2, 3, 4, 5, 6, 7]
    assert found['arguments'] == [2**40 + 1, 2**64 - 3]
    assert found['mode'] == 1  # captures of this thread only
    assert found['taken'] == found['contexts'] == 0


@pytest.mark.parametrize(
    ('module', 'script', 'refusal'),
    [
        ('cuda.bindings.driver', CUDA_PYTHON, 'cuMemAlloc failed: CUDA_ERROR_OUT_OF_MEMORY'),
        ('pycuda.driver', PYCUDA, 'cuMemAlloc failed: out of memory'),
    ],
    ids=['cuda-python', 'pycuda'],
)
def test_what_we_pass_to_a_binding_arrives(stub, module, script, refusal):
    if not is_installed(module):
        pytest.skip(f'needs {module}')
    found = run(stub, script + EVERYTHING)
    assert_launched(found)
    assert (found['name'], found['driver_version']) == ('Stub', [12, 6])
    assert (found['memory'], found['copied']) == ([3, 5], list(range(16)))
    assert (found['is_mapped'], found['flags'], found['elapsed_ms']) == (True, 2, 1.0)
    assert found['unknown'] == 'cuModuleGetFunction failed: CUDA_ERROR_NOT_FOUND'
    assert found['refused'] == refusal


def test_what_we_pass_by_ctypes_arrives(stub):
    found = run(stub, LIBCUDA)
    assert_launched(found)
    assert found['unknown'] == 'cuModuleGetFunction failed: CUDA_ERROR_NOT_FOUND'


def test_a_driver_has_nothing_of_later_versions(stub):
    """The driver of JetPack 6 has no cuEventElapsedTime of CUDA 12.8, which 13 calls."""
    found = run(
        stub,
        """
cuda, function = ctypes.CDLL('libcuda.so.1'), ctypes.c_void_p()
print(json.dumps({
    version: (cuda.cuGetProcAddress(b'cuEventElapsedTime', ctypes.byref(function), version,
                                    ctypes.c_uint64(0)), bool(function.value))
    for version in (2000, 12060, 12080, 13000)}))
""",
    )
    assert found == {
        '2000': [0, True], '12060': [0, True], '12080': [1, False], '13000': [1, False],
    }  # fmt: skip


def test_pip_takes_no_binding_that_needs_a_later_driver():
    text = (HERE.parents[2] / 'setup.py').read_text(encoding='utf-8')
    pins = [
        node.value.partition(';')[0].removeprefix('cuda-bindings')
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and str(node.value).startswith('cuda-bindings')
    ]
    assert len(pins) == 2
    assert all('<13' in pin.split(',') for pin in pins)


def test_without_the_library_there_is_one_sentence():
    if Path('/proc/driver/nvidia').exists():
        pytest.skip('this machine has the library')
    from selfocc_core.cuda.libcuda import LibCuda
    from selfocc_core.errors import SelfOccError

    with pytest.raises(SelfOccError, match='there is no usable NVIDIA driver') as caught:
        LibCuda.load()
    assert '\n' not in str(caught.value)
