from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import onnx
import pytest
from fake_engine import ORIN, THOR, FakeCompiler, FakeRunner, build_elsewhere
from surround_model import surround_model, write_surround_model

from selfocc_core.engine import cache as cache_module
from selfocc_core.engine.builder import engine_for
from selfocc_core.engine.cache import EngineCache, EngineKey
from selfocc_core.errors import SelfOccError

pytestmark = pytest.mark.deployment

SPAWN = multiprocessing.get_context('spawn')


@pytest.fixture
def model(tmp_path):
    return write_surround_model(tmp_path / 'model.onnx')


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'cache'


def build(model, folder, **options):
    compiler = FakeCompiler(**options)
    return engine_for(model, 'fp32', folder, FakeRunner(), compiler), compiler.compiled


def leftovers(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith('.')]


def test_an_engine_is_built_once(model, folder):
    first, compiled = build(model, folder)
    assert compiled == ['fused plugin']
    assert not first.was_cached
    second, compiled = build(model, folder)
    assert compiled == []
    assert second.was_cached
    assert (second.path, second.mode) == (first.path, first.mode)
    assert leftovers(folder) == []


KEY = EngineKey('m', 'fp16', '', '1.0.0', ORIN)


@pytest.mark.parametrize(
    'other',
    [
        replace(KEY, model='n'),
        replace(KEY, precision='fp32'),
        replace(KEY, scales='s'),
        replace(KEY, selfocc='1.0.1'),
        *(
            replace(KEY, environment=replace(ORIN, **{name: value}))
            for name, value in {
                'tensorrt': '10.16.2',
                'cuda_driver': '13.0',
                'cuda_runtime': '13.0',
                'gpu': 'Thor',
                'compute_capability': '11.0',
                'multiprocessors': 8,
                'nvrtc': 'none',
                'stock_plugin': 'none',
                'kernels': 'other',
            }.items()
        ),
    ],
)
def test_an_engine_of_another_key_is_not_found(model, folder, other):
    built, _ = build(model, folder)
    cache = EngineCache(folder)
    record = cache.find(built.path, EngineKey(**vars(_key_of(built))))
    assert record is not None
    renamed = record.model_copy(update={'key': KEY}).model_dump_json()
    built.path.with_suffix('.json').write_text(renamed)
    assert cache.find(built.path, KEY) is not None
    assert cache.find(built.path, other) is None
    assert cache.engine_path('m', KEY) != cache.engine_path('m', other)


def _key_of(built):
    content = built.path.with_suffix('.json').read_text()
    return cache_module.EngineRecord.model_validate_json(content).key


def test_an_engine_of_another_gpu_is_built_anew_even_under_the_right_name(model, folder):
    of_orin, _ = build(model, folder, environment=ORIN)
    of_thor, compiled = build(model, folder, environment=THOR)
    assert compiled == ['fused plugin']
    assert of_thor.path != of_orin.path
    for suffix in ('.engine', '.json'):
        content = of_orin.path.with_suffix(suffix).read_bytes()
        of_thor.path.with_suffix(suffix).write_bytes(content)
    again, compiled = build(model, folder, environment=THOR)
    assert compiled == ['fused plugin']
    assert not again.was_cached


def test_the_engine_of_an_earlier_export_is_not_loaded(model, folder):
    earlier, _ = build(model, folder)
    changed = surround_model()
    (weights,) = (t for t in changed.graph.initializer if t.name == 'decoder_weight')
    weights.CopyFrom(onnx.numpy_helper.from_array(np.ones((8, 1), np.float32), 'decoder_weight'))
    write_surround_model(model, changed)
    later, compiled = build(model, folder, refused=['fused plugin', 'plugin', 'stock'])
    assert compiled[-1] == 'native'
    assert later.path != earlier.path


@pytest.mark.parametrize('damage', [b'', b'nonsense', None])
def test_a_damaged_engine_is_built_again(model, folder, damage):
    built, _ = build(model, folder)
    content = built.path.read_bytes()
    built.path.write_bytes(content[:-9] if damage is None else damage)
    again, compiled = build(model, folder)
    assert compiled == ['fused plugin']
    assert again.path.read_bytes() == content


@pytest.mark.parametrize('damage', [b'', b'{}', b'\xff\xfe', b'[' * 9000])
def test_a_damaged_record_means_another_build(model, folder, damage):
    built, _ = build(model, folder)
    built.path.with_suffix('.json').write_bytes(damage)
    _, compiled = build(model, folder)
    assert compiled == ['fused plugin']


def test_an_engine_without_its_record_is_not_opened(model, folder):
    built, _ = build(model, folder)
    built.path.with_suffix('.json').unlink()
    assert build(model, folder)[1] == ['fused plugin']


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_and_leaves_nothing(model, folder, monkeypatch):
    write = Path.write_bytes
    monkeypatch.setattr(
        Path, 'write_bytes', lambda p, data: no_space() if len(data) > 9 else write(p, data)
    )
    with pytest.raises(SelfOccError, match=f'no space for the engine in {folder}: free some'):
        build(model, folder)
    assert [p.suffix for p in folder.iterdir() if p.suffix != '.lock'] == ['.cache']
    monkeypatch.undo()
    assert not build(model, folder)[0].was_cached


def test_a_disk_full_at_the_record_leaves_no_engine(model, folder, monkeypatch):
    monkeypatch.setattr(Path, 'write_text', no_space)
    with pytest.raises(SelfOccError, match='no space'):
        build(model, folder)
    assert not list(folder.glob('*.engine'))
    assert leftovers(folder) == []


def read_only(path, *_, **__):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def make_read_only(monkeypatch):
    monkeypatch.setattr(cache_module.os, 'open', read_only)
    for name in ('write_bytes', 'write_text', 'unlink', 'replace', 'touch'):
        monkeypatch.setattr(Path, name, read_only)


def test_a_read_only_cache_gives_its_engines_and_takes_none(model, folder, monkeypatch):
    build(model, folder)
    make_read_only(monkeypatch)
    assert build(model, folder)[0].was_cached
    compiler = FakeCompiler(environment=THOR)
    with pytest.raises(SelfOccError, match=r'cannot write the engine cache .*: make it writable'):
        engine_for(model, 'fp32', folder, FakeRunner(), compiler)
    assert compiler.compiled == []  # it is told before the minutes of building


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EROFS])
def test_where_another_folder_is_named_is_told_for_the_node_too(folder, number):
    """Options are of the verb: the node has none for the folder."""
    told = str(cache_module._unwritable(folder / 'm.engine', OSError(number, os.strerror(number))))
    assert 'XDG_CACHE_HOME' in told
    assert '--cache' not in told


def test_a_cache_that_is_no_folder_is_told(model, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SelfOccError, match='cannot write the engine cache'):
        build(model, tmp_path / 'file' / 'cache')


def test_of_two_builders_one_builds_and_the_other_loads(model, folder, tmp_path):
    log = tmp_path / 'log'
    with SPAWN.Pool(2) as pool:
        jobs = [(model, folder, log, 1.0)] * 2
        engines = pool.starmap(build_elsewhere, jobs, chunksize=1)
    assert log.read_text().splitlines() == ['fused plugin']
    assert sorted(engine.was_cached for engine in engines) == [False, True]
    assert engines[0].path == engines[1].path


def test_who_waits_is_told(folder):
    cache, told, waits, done = EngineCache(folder), [], Event(), Event()

    def wait():
        with cache.locked(path, lambda line: (told.append(line), waits.set())):
            done.set()

    path = cache.engine_path('model', KEY)
    with cache.locked(path, told.append):
        thread = Thread(target=wait)
        thread.start()
        assert waits.wait(60)
        assert not done.is_set()
    thread.join(60)
    assert done.is_set()
    assert told == [f'another process builds {path.name}: waiting for it']


def test_a_killed_builder_blocks_nobody_and_its_draft_is_swept(model, folder, tmp_path):
    log = tmp_path / 'log'
    builder = SPAWN.Process(target=build_elsewhere, args=(model, folder, log, 600.0))
    builder.start()
    deadline = time.monotonic() + 120
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert log.exists()
    assert len(leftovers(folder)) == 1
    os.kill(builder.pid, signal.SIGKILL)
    builder.join()
    built, compiled = build(model, folder)
    assert compiled == ['fused plugin']
    assert not built.was_cached
    assert leftovers(folder) == []


def test_only_the_newest_engines_are_kept(model, folder):
    for count in range(10):
        newest, _ = build(model, folder, environment=replace(ORIN, multiprocessors=count))
    kept = list(folder.glob('*.engine'))
    assert len(kept) == 8
    assert newest.path in kept
    assert len(list(folder.glob('*.json'))) == 8


def test_an_engine_that_is_used_is_not_pushed_out(model, folder):
    oldest, _ = build(model, folder)
    for count in range(10):
        build(model, folder, environment=replace(ORIN, multiprocessors=count))
        again, compiled = build(model, folder)
        assert (compiled, again.path) == ([], oldest.path)
    assert len(list(folder.glob('*.engine'))) == 8


def test_measurements_of_a_build_speed_up_the_next_of_the_device(model, folder):
    build(model, folder)
    compiler = FakeCompiler()
    engine_for(model, 'fp16', folder, FakeRunner(), compiler)
    assert compiler.timing_caches == [b'timings']
    foreign = FakeCompiler(environment=THOR)
    engine_for(model, 'fp16', folder, FakeRunner(), foreign)
    assert foreign.timing_caches == [b'']
