from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_runtime import GRID, LATTICE, inputs

from selfocc_core.backends.engine_session import EngineSession
from selfocc_core.errors import SelfOccError
from selfocc_core.plugin.last_error import keeping_error

pytestmark = pytest.mark.deployment


@pytest.fixture
def session(driver, trt, engine):
    session = EngineSession(driver, trt, engine)
    yield session
    session.close()


def assert_right(outputs, given) -> None:
    assert (outputs.sdf.shape, outputs.depth.shape) == (GRID, LATTICE)
    np.testing.assert_allclose(outputs.sdf, given.images.mean(), rtol=1e-5)
    np.testing.assert_allclose(outputs.depth, given.image_from_ego.sum(), rtol=1e-4)


def test_outputs_are_those_of_the_inputs_run_after_run(session):
    for seed in range(3):
        assert_right(session.run(inputs(seed)), inputs(seed))
    assert session.uses_graph
    assert session.graph_refusal is None


def test_outputs_are_the_callers_own(session):
    first = session.run(inputs(0))
    kept = first.sdf.copy()
    session.run(inputs(1))
    np.testing.assert_array_equal(first.sdf, kept)


def test_the_graph_is_captured_once_and_replaces_the_engines_calls(session, trt, cuda):
    session.run(inputs())
    enqueued = trt.enqueued
    for seed in range(3):
        session.run(inputs(seed))
    assert trt.enqueued == enqueued
    assert cuda.calls.count('cuStreamBeginCapture') == 1


@pytest.mark.parametrize('forgets', [(1,), (2,), (3,), (4,), (1, 2, 3)])
def test_a_graph_that_lacks_work_is_found_out(session, trt, cuda, forgets):
    """It would replay what is in memory from the run before."""
    trt.forgets = forgets
    for seed in range(3):
        assert_right(session.run(inputs(seed)), inputs(seed))
    assert not session.uses_graph
    assert 'the CUDA graph gives another "' in session.graph_refusal
    assert 'graph' not in cuda.open.values()


def test_an_engine_that_cannot_be_captured_runs_without_a_graph(session, trt):
    trt.refuses = 'capture'
    for seed in range(2):
        assert_right(session.run(inputs(seed)), inputs(seed))
    assert not session.uses_graph
    assert 'TensorRT refused to enqueue' in session.graph_refusal


@pytest.mark.parametrize('call', ['cuStreamBeginCapture', 'cuGraphInstantiate', 'cuGraphLaunch'])
def test_a_device_without_graphs_runs_without_them(session, cuda, call):
    cuda.refused = call
    for seed in range(2):
        assert_right(session.run(inputs(seed)), inputs(seed))
    assert call in session.graph_refusal
    assert set(cuda.open.values()).isdisjoint({'graph', 'captured graph'})


def test_a_refused_run_is_an_error_that_says_why(session, trt):
    trt.refuses = 'ever'
    with pytest.raises(SelfOccError, match='refused to enqueue the engine: TensorRT does not say'):
        session.run(inputs())
    trt.says = 'Error Code 2: OutOfMemory'
    with pytest.raises(SelfOccError, match=r'the engine: Error Code 2: OutOfMemory$'):
        session.run(inputs())
    trt.says, trt.refuses, trt.plugin = '', '', refusing_plugin
    with pytest.raises(SelfOccError, match=r'the engine: cuLaunchKernel failed: CUDA_ERROR$'):
        session.run(inputs())


@keeping_error
def refusing_plugin():
    raise SelfOccError('cuLaunchKernel failed: CUDA_ERROR')


def test_why_there_is_no_context_is_told(driver, trt, engine):
    """Memory is blamed only where nothing else is."""
    trt.plugin = refusing_plugin
    with pytest.raises(
        SelfOccError, match=r'prepared to run \(cuLaunchKernel .*\): if .*--rebuild'
    ):
        EngineSession(driver, trt, engine)
    trt.says = 'no such kernel'
    with pytest.raises(SelfOccError, match=r'run \(cuLaunchKernel.* CUDA_ERROR; no such kernel\)'):
        EngineSession(driver, trt, engine)
    trt.has_memory, trt.says = False, ''
    with pytest.raises(SelfOccError, match='not enough device memory'):
        EngineSession(driver, trt, engine)


def test_whether_a_graph_is_used_is_told(session, trt):
    assert session.graph_state == 'not tried yet'
    trt.refuses = 'capture'
    session.run(inputs())
    assert session.graph_state.startswith('no CUDA graph was captured: TensorRT refused')


@pytest.mark.parametrize(
    'call', ['cuGraphExecDestroy', 'cuEventDestroy', 'cuStreamDestroy', 'cuMemFreeHost']
)
def test_one_thing_that_cannot_be_given_back_does_not_keep_the_others(
    driver, trt, cuda, engine, call
):
    session = EngineSession(driver, trt, engine)
    session.run(inputs())
    count = len(cuda.open)
    kinds = {'cuGraphExecDestroy': 'graph', 'cuEventDestroy': 'event', 'cuStreamDestroy': 'stream',
             'cuMemFreeHost': 'host memory'}  # fmt: skip
    cuda.refused = call
    with pytest.raises(SelfOccError, match=f'{call} failed'):
        session.close()
    assert set(cuda.open.values()) == {'context', kinds[call]}
    assert len(cuda.open) < count
    calls = len(cuda.calls)
    session.close()  # a second time does nothing
    assert set(cuda.calls[calls:]) <= {'cuCtxPushCurrent', 'cuCtxPopCurrent'}
    cuda.open = {handle: kind for handle, kind in cuda.open.items() if kind == 'context'}
    cuda.refused = None


def test_why_an_engine_cannot_be_opened_is_not_hidden_by_giving_back(driver, trt, cuda, engine):
    trt.takes_memory, cuda.refused = False, 'cuMemFreeHost'
    with pytest.raises(SelfOccError, match='TensorRT refuses the memory of "images"'):
        EngineSession(driver, trt, engine)
    cuda.refused = None
    cuda.open = {handle: kind for handle, kind in cuda.open.items() if kind == 'context'}


def test_shared_memory_is_not_copied(session, cuda):
    session.run(inputs())
    copies = {'cuMemcpyHtoDAsync', 'cuMemcpyDtoHAsync'}
    assert copies.isdisjoint(cuda.calls) == cuda.integrated
    assert ('cuMemAlloc' in cuda.calls) != cuda.integrated


def test_memory_is_taken_once(session, cuda):
    session.run(inputs())
    allocations = cuda.calls.count('cuMemHostAlloc')
    session.run(inputs())
    assert cuda.calls.count('cuMemHostAlloc') == allocations == 5


def test_stages_are_timed(session):
    session.run(inputs())
    assert session.times.inference == 1.5  # by the fake's clock
    assert session.times.copy_in > 1.5
    assert session.times.copy_out > 1.5


@pytest.mark.parametrize(
    'changes',
    [
        {'images': np.zeros((2, 8, 11, 3), np.uint8)},
        {'images': np.zeros((2, 8, 12, 3), np.float32)},
    ],
)
def test_inputs_that_do_not_fit_are_named(session, changes):
    with pytest.raises(SelfOccError, match=r'takes "images" of shape \[2, 8, 12, 3\] \(uint8\)'):
        session.run(replace(inputs(), **changes))


def test_a_closed_session_has_nothing_and_runs_nothing(session, cuda):
    session.run(inputs())
    session.close()
    assert list(cuda.open.values()) == ['context']
    with pytest.raises(SelfOccError, match='is closed'):
        session.run(inputs())


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        ({'has_memory': False}, 'not enough device memory'),
        ({'takes_memory': False}, 'TensorRT refuses the memory of "images"'),
        ({'tensors': {'images': ((-1, 8), 'uint8', 'input')}}, 'which is not fixed'),
    ],
)
def test_an_engine_that_cannot_be_opened_leaves_nothing(
    driver, trt, cuda, engine, changes, sentence
):
    for name, value in changes.items():
        setattr(trt, name, value)
    with pytest.raises(SelfOccError, match=sentence):
        EngineSession(driver, trt, engine)
    assert list(cuda.open.values()) == ['context']


@pytest.mark.parametrize('call', ['cuMemHostAlloc', 'cuStreamCreate', 'cuEventCreate'])
def test_a_device_that_refuses_leaves_nothing(driver, trt, cuda, engine, call):
    cuda.refused = call
    with pytest.raises(SelfOccError, match=call):
        EngineSession(driver, trt, engine)
    assert list(cuda.open.values()) == ['context']


def test_a_file_that_is_no_engine_is_named(driver, trt, tmp_path):
    path = tmp_path / 'other.engine'
    with pytest.raises(SelfOccError, match='cannot read engine'):
        EngineSession(driver, trt, path)
    path.write_bytes(b'something else')
    with pytest.raises(
        SelfOccError, match=r'does not load here \(magic tag does not match\): build'
    ):
        EngineSession(driver, trt, path)


def test_an_engine_without_depth_is_refused(driver, trt, engine):
    del trt.tensors['depth']
    trt.tensors['nothing'] = (LATTICE, 'float32', 'output')
    session = EngineSession(driver, trt, engine, use_graph=False)
    session._context._outputs = lambda: None
    with pytest.raises(SelfOccError, match='the engine gives no "depth"'):
        session.run(inputs())
    session.close()
