from __future__ import annotations

import sys
from contextlib import nullcontext

import pytest
from fake_engine import FakeCompiler, FakeRunner
from surround_model import write_surround_model

from selfocc_core.backends import tensorrt as tensorrt_backend
from selfocc_core.cuda import driver as cuda_driver
from selfocc_core.engine import tensorrt_compiler
from selfocc_core.engine.command import BuildEngine
from selfocc_core.engine.golden import Golden
from selfocc_core.engine.scales import Scales
from selfocc_core.errors import SelfOccError

pytestmark = pytest.mark.deployment


@pytest.fixture
def model(tmp_path):
    return write_surround_model(tmp_path / 'model.onnx')


@pytest.fixture(autouse=True)
def without_tensorrt(monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorrt', None)


def dry_run(model, capsys, **options):
    BuildEngine(model, cache=model.parent / 'cache', dry_run=True, **options).run()
    return capsys.readouterr().out


def test_a_dry_run_says_what_would_happen_mode_by_mode(model, capsys):
    told = dry_run(model, capsys)
    assert 'nothing can be built here' in told
    assert '1. fused plugin: ' in told
    assert 'of plugins: 2 SurroundDeformAttn' in told
    assert 'of plugins: 2 MultiscaleDeformableAttnPlugin_TRT' in told
    assert '4. native: ' in told
    assert 'of plugins: none' in told
    assert 'float16: 8 of' in told
    assert not (model.parent / 'cache').exists()


def test_a_dry_run_of_single_precision_changes_no_types(model, capsys):
    assert 'float16' not in dry_run(model, capsys, precision='fp32')


def test_a_dry_run_of_int8_says_where_scales_come_from(model, capsys, tmp_path):
    with pytest.raises(SelfOccError, match='not calibrated'):
        dry_run(model, capsys, precision='int8')
    told = dry_run(model, capsys, precision='int8', bag=tmp_path / 'drive.mcap')
    assert 'int8: 2 convolutions, to be calibrated with' in told
    card = Golden.load_for(model) and Scales.path_for(tmp_path, model)
    assert card.name.startswith('model-')


def test_without_tensorrt_a_real_run_ends_in_a_sentence(model):
    with pytest.raises(SelfOccError, match='TensorRT'):
        BuildEngine(model, cache=model.parent / 'cache').run()
    assert not (model.parent / 'cache').exists()


class Driver:
    def current(self):
        return nullcontext()

    def close(self):
        """Hold nothing."""


@pytest.fixture
def device(monkeypatch):
    """A TensorRT that refuses some modes, and something that runs its engines."""
    compiler = FakeCompiler()
    monkeypatch.setattr(tensorrt_compiler, 'tensorrt_compiler', lambda: compiler)
    monkeypatch.setattr(tensorrt_backend, 'DeviceEngineRunner', lambda driver: FakeRunner())
    monkeypatch.setattr(cuda_driver, 'open_driver', Driver)
    return compiler


def test_refused_modes_are_told_and_tried_again_when_asked(model, device, capsys):
    cache = model.parent / 'cache'
    device.refused = ['fused plugin']
    for kind in ('new', 'cached'):
        BuildEngine(model, 'fp32', cache=cache).run()
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == 'fused plugin: refused: no such plugin'
        assert lines[-1].endswith(f'(plugin, {kind})')
    device.refused = []
    BuildEngine(model, 'fp32', cache=cache).run()
    assert capsys.readouterr().out.splitlines()[-1].endswith('(plugin, cached)')
    BuildEngine(model, 'fp32', cache=cache, rebuild=True).run()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith('(fused plugin, new)')
    assert not any(': refused: ' in line for line in lines)


def test_a_bag_is_for_int8(model, tmp_path):
    with pytest.raises(SelfOccError, match='--bag calibrates int8'):
        BuildEngine(model, bag=tmp_path / 'drive.mcap').run()


def test_missing_files_are_told_before_the_missing_device(tmp_path, model):
    with pytest.raises(SelfOccError, match='there is no model at'):
        BuildEngine(tmp_path / 'other.onnx').run()
    with pytest.raises(SelfOccError, match='there is no model at'):
        BuildEngine(tmp_path / 'other.onnx', dry_run=True).run()
    Golden.path_for(model).unlink()
    with pytest.raises(SelfOccError, match='no golden file'):
        BuildEngine(model).run()
