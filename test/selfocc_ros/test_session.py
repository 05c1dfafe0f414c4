from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

pytest.importorskip('rclpy')
from selfocc_core.errors import SelfOccError
from selfocc_core.voxels import VoxelGrid
from selfocc_ros import session
from selfocc_ros.parameters import NodeParameters


def test_a_session_that_cannot_begin_gives_the_device_back(monkeypatch):
    """The model lies in the device's memory; nobody else would close it."""
    closed, asked = [], []
    grid = VoxelGrid((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), (2, 2, 2))
    backend = SimpleNamespace(
        card=SimpleNamespace(grid=SimpleNamespace(to_grid=lambda: grid)),
        close=lambda: closed.append(True),
    )

    def open_backend(*arguments):
        asked.append(arguments)
        return backend

    monkeypatch.setattr(session, 'open_backend', open_backend)
    parameters = NodeParameters(
        backend='onnxruntime-cpu',
        engine_precision='int8',
        threads=2,
        height_band_low_m=15.0,
        height_band_high_m=16.0,
    )
    with pytest.raises(SelfOccError):
        session.Session(MagicMock(), parameters)
    assert closed == [True]
    assert asked[0][:3] == (parameters.model_path, 2, 'onnxruntime-cpu')
    assert asked[0][4] == 'int8'


def test_how_the_backend_runs_the_model_is_published():
    opened = object.__new__(session.Session)
    opened.backend = SimpleNamespace(
        name='tensorrt',
        card=SimpleNamespace(name='tiny', version='1'),
        details={'engine': 'plugin, fp16', 'CUDA graph': 'used'},
        rejected={},
    )
    assert opened._inference() == {
        'backend': 'tensorrt', 'model': 'tiny 1', 'engine': 'plugin, fp16', 'CUDA graph': 'used',
    }  # fmt: skip
