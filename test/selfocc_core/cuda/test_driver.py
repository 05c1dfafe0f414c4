from __future__ import annotations

import gc
import sys
from types import ModuleType

import numpy as np
import pytest
from fake_cuda import FakeCuda, FakePyCuda

from selfocc_core.cuda import driver as driver_module
from selfocc_core.cuda.cuda_python_driver import CudaPythonDriver
from selfocc_core.cuda.driver import open_driver
from selfocc_core.cuda.ledger import Ledger
from selfocc_core.cuda.pycuda_driver import PyCudaDriver
from selfocc_core.cuda.versions import major_minor
from selfocc_core.errors import SelfOccError

pytestmark = pytest.mark.deployment
CUBIN = b'\x7fELF and more'
OPENERS = {
    'cuda-python': CudaPythonDriver,
    'pycuda': lambda cuda, device=0: PyCudaDriver(FakePyCuda(cuda), cuda, device),
}


@pytest.fixture(params=OPENERS)
def opener(request):
    return OPENERS[request.param]


@pytest.fixture
def cuda():
    return FakeCuda()


def use_everything(driver) -> None:
    """Take one of each, and copy, launch and time."""
    with driver.current():
        driver.memory_bytes()
        pointer = driver.allocate(16)
        pinned, mapped = driver.allocate_host(16), driver.allocate_host(8, mapped=True)
        assert (pinned.device_pointer, mapped.device_pointer) == (None, mapped.array.ctypes.data)
        stream, start, end = driver.create_stream(), driver.create_event(), driver.create_event()
        function = driver.function(driver.load_module(CUBIN), 'attend')

        def copy_and_launch() -> None:
            driver.copy_to_device(pointer, pinned.array, stream)
            driver.launch(function, (4, 3, 2), (32, 1, 1), [np.uint64(pointer)], stream, 48)
            driver.copy_to_host(mapped.array, pointer, stream)

        driver.record(start, stream)
        graph = driver.capture(stream, copy_and_launch)
        pinned.array[:] = np.arange(16)
        mapped.array[:] = 0
        driver.launch_graph(graph, stream)
        driver.record(end, stream)
        driver.synchronize(stream)
        assert mapped.array.tolist() == list(range(8))
        assert driver.elapsed_ms(start, end) == 1.5


CALLS = sorted(
    {
        'cuInit', 'cuDeviceGetCount', 'cuDeviceGetName', 'cuDeviceTotalMem',
        'cuDriverGetVersion', 'cuDeviceGetAttribute', 'cuDevicePrimaryCtxRetain',
        'cuCtxPushCurrent', 'cuMemGetInfo', 'cuMemAlloc', 'cuMemHostAlloc',
        'cuMemHostGetDevicePointer', 'cuStreamCreate', 'cuEventCreate', 'cuModuleLoadData',
        'cuModuleGetFunction', 'cuEventRecord', 'cuStreamBeginCapture', 'cuMemcpyHtoDAsync',
        'cuLaunchKernel', 'cuMemcpyDtoHAsync', 'cuStreamEndCapture', 'cuGraphInstantiate',
        'cuGraphDestroy', 'cuGraphLaunch', 'cuStreamSynchronize', 'cuEventElapsedTime',
    }
)  # fmt: skip
RELEASES = ['cuMemFree', 'cuMemFreeHost', 'cuGraphExecDestroy', 'cuModuleUnload']


def test_a_device_is_described(opener, cuda):
    info = opener(cuda).info
    assert (info.name, info.compute_capability, info.architecture) == ('Orin', (8, 7), 'sm_87')
    assert (info.multiprocessors, info.integrated) == (16, True)
    assert (info.memory_bytes, info.driver_version) == (64 * 2**30, (12, 6))


def test_everything_is_done_and_given_back(opener, cuda):
    driver = opener(cuda)
    use_everything(driver)
    driver.close()
    driver.close()
    assert (cuda.open, cuda.stack) == ({}, [])
    ((*sizes, shared_bytes, first_argument),) = cuda.launched
    assert (sizes, shared_bytes) == ([4, 3, 2, 32, 1, 1], 48)
    assert first_argument != 0
    assert 'cuDevicePrimaryCtxRelease' in cuda.calls[-2:]
    assert set(CALLS) <= set(cuda.calls)


@pytest.mark.parametrize('call', CALLS)
def test_any_refused_call_is_named_and_nothing_leaks(opener, cuda, call):
    cuda.refused = call
    driver = None
    with pytest.raises(SelfOccError, match=f'{call} failed') as caught:  # noqa: PT012
        driver = opener(cuda)
        use_everything(driver)
    assert '\n' not in str(caught.value)
    caught = None  # its frames hold the fake's streams and events
    gc.collect()
    cuda.refused = None
    cuda.capturing = None  # a capture that cannot be ended cannot be given back either
    if driver is not None:
        driver.close()
    leaked = {'captured graph'} if call == 'cuGraphDestroy' else set()
    assert set(cuda.open.values()) == leaked
    assert cuda.stack == []


@pytest.mark.parametrize('call', RELEASES)
def test_one_that_cannot_be_given_back_does_not_keep_the_others(opener, cuda, call):
    driver = opener(cuda)
    use_everything(driver)
    kept = {'cuMemFree': 1, 'cuMemFreeHost': 2, 'cuGraphExecDestroy': 1, 'cuModuleUnload': 1}
    cuda.refused = call
    with pytest.raises(SelfOccError, match=f'{call} failed'):
        driver.close()
    assert len(cuda.open) == kept[call]
    assert cuda.stack == []


def test_a_broken_capture_is_ended_and_what_broke_it_is_raised(opener, cuda):
    driver = opener(cuda)

    def fail() -> None:
        raise ValueError('enqueue refused')

    with driver.current():
        stream = driver.create_stream()
        with pytest.raises(ValueError, match='enqueue refused'):
            driver.capture(stream, fail)
        assert cuda.capturing is None
    driver.close()
    assert cuda.open == {}


def test_the_order_of_a_capture(opener, cuda):
    driver = opener(cuda)
    with driver.current():
        stream = driver.create_stream()
        before = len(cuda.calls)
        graph = driver.capture(stream, lambda: cuda.calls.append('work'))
        driver.destroy_graph(graph)
        assert cuda.calls[before:] == [
            'cuStreamBeginCapture',
            'work',
            'cuStreamEndCapture',
            'cuGraphInstantiate',
            'cuGraphDestroy',
            'cuGraphExecDestroy',
        ]
    driver.close()


def test_each_is_given_back_once(opener, cuda):
    driver = opener(cuda)
    with driver.current():
        pointer, host = driver.allocate(4), driver.allocate_host(4)
        stream, event = driver.create_stream(), driver.create_event()
        module = driver.load_module(CUBIN)
        driver.free(pointer)
        driver.free_host(host)
        driver.destroy_event(event)
        driver.destroy_stream(stream)
        driver.unload_module(module)
        assert list(cuda.open.values()) == ['context']
        with pytest.raises(SelfOccError, match='given back before'):
            driver.free(pointer)
    driver.close()


def test_a_device_that_is_not_there(opener):
    with pytest.raises(SelfOccError, match='there is no CUDA device 1: this machine has 1'):
        opener(FakeCuda(), device=1)
    with pytest.raises(SelfOccError, match='there is no CUDA device 0: this machine has 0'):
        opener(FakeCuda(devices=0))


def test_the_newest_goes_first():
    ledger, gone = Ledger(), []
    for number in range(3):
        ledger.add('thing', number, lambda number=number: gone.append(number))
    assert len(ledger) == 3
    ledger.close()
    assert (gone, len(ledger)) == ([2, 1, 0], 0)


def test_cudas_way_to_write_versions():
    assert [major_minor(n) for n in (12060, 13020, 11040)] == [(12, 6), (13, 2), (11, 4)]


def package(monkeypatch, name: str, module: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, name.partition('.')[0], module)
    monkeypatch.setitem(sys.modules, name.rpartition('.')[0], module)
    monkeypatch.setitem(sys.modules, name, module)


def test_without_any_binding_there_is_one_sentence(monkeypatch):
    package(monkeypatch, 'pycuda.driver', None)
    package(monkeypatch, 'cuda.bindings.driver', None)
    with pytest.raises(SelfOccError, match='no CUDA device can be used: pycuda cannot be') as e:
        open_driver()
    assert 'cuda-python cannot be used (ModuleNotFoundError: ' in str(e.value)
    assert '\n' not in str(e.value)


def test_cuda_python_serves_where_pycuda_is_missing(monkeypatch, cuda):
    package(monkeypatch, 'pycuda.driver', None)
    package(monkeypatch, 'cuda.bindings.driver', cuda)
    driver = open_driver()
    assert isinstance(driver, CudaPythonDriver)
    assert driver.binding.startswith('cuda-python')
    driver.close()


@pytest.mark.parametrize('error', [OSError, RuntimeError, AttributeError])
def test_a_broken_pycuda_does_not_keep_cuda_python_from_being_tried(monkeypatch, cuda, error):
    def import_module(name):
        if name == 'pycuda.driver':
            raise error('libcurand.so.10: cannot open\nmore')
        return cuda

    monkeypatch.setattr(driver_module, 'import_module', import_module)
    driver = open_driver()
    assert isinstance(driver, CudaPythonDriver)
    driver.close()
    cuda.refused = 'cuInit'
    with pytest.raises(SelfOccError, match=r'pycuda cannot be used \(\w+: libcurand.*; cuda-p'):
        open_driver()


@pytest.mark.parametrize('name', ['cuEventElapsedTime', 'cuGraphLaunch'])
def test_a_function_that_the_driver_lacks_is_named(monkeypatch, cuda, name):
    """cuda-python raises a RuntimeError where the driver is older than the binding."""

    def missing(*_):
        raise RuntimeError(f'Function "{name}_v2" not found')

    monkeypatch.setattr(cuda, name, missing, raising=False)
    driver = CudaPythonDriver(cuda)
    with pytest.raises(SelfOccError, match=f'^{name} failed: RuntimeError: Function "{name}_v2"'):
        use_everything(driver)
    driver.close()
    assert cuda.open == {}


def test_a_binding_without_a_driver_library_is_one_sentence(monkeypatch, cuda):
    def without_library(flags):
        raise RuntimeError('Failed to dlopen libcuda.so.1\nand more')

    monkeypatch.setattr(cuda, 'cuInit', without_library, raising=False)
    with pytest.raises(
        SelfOccError,
        match=r'libcuda\.so\.1: RuntimeError: Failed to dlopen libcuda\.so\.1\): install it',
    ):
        CudaPythonDriver(cuda)
