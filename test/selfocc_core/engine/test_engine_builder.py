from __future__ import annotations

import sys

import pytest
from fake_engine import FakeCompiler, FakeRunner
from surround_model import surround_inputs, write_surround_model

from selfocc_core.engine.builder import engine_for, tenths
from selfocc_core.engine.calibration import ActivationObserver
from selfocc_core.engine.command import lines_of
from selfocc_core.engine.golden import Golden
from selfocc_core.engine.graph_modes import MODES
from selfocc_core.engine.scales import Scales
from selfocc_core.errors import SelfOccError

pytestmark = pytest.mark.deployment


@pytest.fixture
def model(tmp_path):
    return write_surround_model(tmp_path / 'model.onnx')


def build(model, runner=None, precision='fp32', report=lambda _: None, rebuild=False, **options):
    compiler, cache = FakeCompiler(**options), model.parent / 'cache'
    engine = engine_for(model, precision, cache, runner or FakeRunner(), compiler, rebuild, report)
    return engine, compiler.compiled


def test_the_best_mode_that_computes_the_golden_outputs_is_taken(model):
    engine, compiled = build(model)
    assert (engine.mode, engine.reasons, compiled) == ('fused plugin', (), ['fused plugin'])
    assert [d.name for d in engine.verdict.differences] == ['sdf', 'depth']


@pytest.mark.parametrize('count', [1, 2, 3])
def test_the_next_mode_is_tried_and_the_reason_kept(model, count):
    told, runner = [], FakeRunner(wrong=[MODES[count - 1]])
    engine, _ = build(model, runner, report=told.append, refused=MODES[: count - 1])
    assert engine.mode == MODES[count]
    assert [reason.mode for reason in engine.reasons] == list(MODES[:count])
    assert all('no such plugin' in reason.reason for reason in engine.reasons[:-1])
    assert 'sdf differs by' in engine.reasons[-1].reason
    assert any(line.startswith(f'{MODES[count - 1]}: refused: sdf differs') for line in told)


@pytest.mark.parametrize(
    ('error', 'sentence'),
    [
        (RuntimeError('Function "cuMemAlloc_v3" not found'), 'RuntimeError: Function "cuMem'),
        (TypeError('incompatible function arguments\nmore'), 'TypeError: incompatible function'),
        (AttributeError('no attribute IPluginV3'), 'AttributeError: no attribute IPluginV3'),
    ],
)
def test_whatever_a_library_raises_leads_to_the_next_mode(model, error, sentence):
    engine, compiled = build(model, refused=['fused plugin'], error=error)
    assert compiled == ['fused plugin', 'plugin']
    assert engine.reasons[0].reason.startswith(sentence)

    class Broken(FakeRunner):
        def run(self, engine, inputs):
            self.runs += 1
            if self.runs == 1:
                raise error
            return super().run(engine, inputs)

    engine, _ = build(model, Broken(), rebuild=True)
    assert engine.mode == 'plugin'
    assert engine.reasons[0].reason.startswith(f'it does not run here: {sentence}')


def test_refused_modes_are_not_tried_again(model):
    first, _ = build(model, refused=['fused plugin'])
    again, compiled = build(model)
    assert compiled == []
    assert again.reasons == first.reasons != ()


def test_a_rebuild_tries_refused_modes_again(model):
    lesser, _ = build(model, refused=['fused plugin'])
    better, compiled = build(model, rebuild=True)
    assert (lesser.mode, better.mode, compiled) == ('plugin', 'fused plugin', ['fused plugin'])
    assert (better.reasons, better.was_cached, better.path) == ((), False, lesser.path)


def test_refusals_are_told_of_a_cached_engine_too(model):
    build(model, refused=['fused plugin'])
    engine, _ = build(model)
    lines = lines_of(engine)
    assert lines[0] == 'fused plugin: refused: no such plugin'
    assert lines[-1] == f'{engine.path} (plugin, cached)'


def test_without_a_stock_plugin_the_native_graph_is_next(model):
    engine, compiled = build(model, refused=MODES[:2], stock_version=None)
    assert compiled == ['fused plugin', 'plugin', 'native']
    assert "lacks NVIDIA's plugin" in engine.reasons[2].reason


def test_if_no_mode_computes_the_outputs_there_is_no_engine(model):
    with pytest.raises(SelfOccError, match='use onnxruntime') as told:
        build(model, FakeRunner(wrong=MODES))
    assert all(f'{mode}: sdf differs' in str(told.value) for mode in MODES)
    assert not list((model.parent / 'cache').glob('*.engine'))


def test_a_cached_engine_that_no_longer_computes_the_outputs_is_built_again(model):
    build(model)
    told = []
    engine, compiled = build(model, FakeRunner(wrong=['fused plugin']), report=told.append)
    assert compiled == ['fused plugin', 'plugin']
    assert engine.mode == 'plugin'
    assert 'is built again: sdf differs' in told[0]


def test_a_cached_engine_that_does_not_run_now_is_kept(model):
    """A lesser one, built while memory lacks, would stay for ever."""

    class Full(FakeRunner):
        def run(self, engine, inputs):
            raise SelfOccError('out of memory')

    good, _ = build(model)
    content = good.path.read_bytes()
    compiler = FakeCompiler()
    with pytest.raises(
        SelfOccError, match=r'does not run now \(out of memory\): free .*--rebuild'
    ):
        engine_for(model, 'fp32', model.parent / 'cache', Full(), compiler)
    assert compiler.compiled == []
    assert good.path.read_bytes() == content
    again, compiled = build(model)
    assert (again.was_cached, again.mode, compiled) == (True, 'fused plugin', [])


def test_a_wrong_cached_engine_stays_until_a_right_one_is_there(model):
    good, _ = build(model)
    with pytest.raises(SelfOccError, match='no engine of'):
        build(model, FakeRunner(wrong=MODES))
    assert good.path.is_file()
    assert good.path.with_suffix('.json').is_file()


def test_an_engine_that_does_not_run_is_refused(model):
    class Broken(FakeRunner):
        def run(self, engine, inputs):
            if self.runs == 0:
                self.runs += 1
                raise SelfOccError('out of memory')
            return super().run(engine, inputs)

    engine, _ = build(model, Broken())
    assert engine.mode == 'plugin'
    assert engine.reasons[0].reason == 'it does not run here: out of memory'


def test_without_golden_file_nothing_is_built(model):
    Golden.path_for(model).unlink()
    with pytest.raises(SelfOccError, match=r'no golden file .*: export the model again'):
        build(model)


def test_int8_is_built_from_kept_scales(model):
    with pytest.raises(SelfOccError, match='not calibrated'):
        build(model, precision='int8')
    observer = ActivationObserver(model)
    observer.infer(surround_inputs())
    scales = Scales(
        model=observer.card.onnx_sha256, drive='d', frame_sets=1, of_tensors=observer.scales()
    )
    scales.save(model.parent / 'cache', model)
    native, _ = build(model, precision='int8', refused=MODES[:3])
    assert native.mode == 'native'
    assert 0 < native.verdict.differences[0].mean < 2e-2
    other = {name: 1.01 * scale for name, scale in scales.of_tensors.items()}
    scales.model_copy(update={'of_tensors': other}).save(model.parent / 'cache', model)
    again, _ = build(model, precision='int8', refused=MODES[:3])
    assert again.path != native.path


def test_an_engine_is_found_without_onnx(model, monkeypatch):
    build(model)
    compiler = FakeCompiler()

    class NamedRunner:
        def run(self, engine, inputs):
            return Golden.load_for(model).outputs

    monkeypatch.setitem(sys.modules, 'onnx', None)
    found = engine_for(model, 'fp32', model.parent / 'cache', NamedRunner(), compiler)
    assert found.was_cached
    with pytest.raises(SelfOccError, match='needs onnx: pip install onnx'):
        engine_for(model, 'fp16', model.parent / 'cache', NamedRunner(), compiler)


def test_progress_is_told_in_tenths():
    told = []
    progress = tenths(told.append)
    for done in range(1001):
        progress('Building', done, 1000)
    assert told[1:] == [f'Building: {percent} %' for percent in range(10, 101, 10)]
    assert len(told) == 11
