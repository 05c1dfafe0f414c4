"""A TensorRT and a CUDA device that are not there, and a small model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / 'cuda'), str(HERE.parents[1])]

from fake_cuda import FakeCuda  # noqa: E402
from fake_runtime import FakeTensorRt  # noqa: E402


@pytest.fixture(params=['integrated', 'discrete'])
def cuda(request):
    return FakeCuda(integrated=request.param == 'integrated')


@pytest.fixture
def driver(cuda):
    from selfocc_core.cuda.cuda_python_driver import CudaPythonDriver

    driver = CudaPythonDriver(cuda)
    yield driver
    driver.close()
    assert cuda.open == {}
    assert cuda.stack == []


@pytest.fixture
def trt(cuda):
    return FakeTensorRt(cuda)


@pytest.fixture
def engine(tmp_path):
    path = tmp_path / 'model.engine'
    path.write_bytes(b'engine')
    return path


@pytest.fixture
def model(tmp_path):
    pytest.importorskip('onnx')
    from mock_model import write_mock_model

    path = tmp_path / 'mock.onnx'
    return write_mock_model(path, cameras=2, height=8, width=12, grid_shape=(4, 4, 2))
