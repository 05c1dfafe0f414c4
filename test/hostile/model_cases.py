"""What comes with a model: the ONNX file, its golden outputs, engines that were kept."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from case import Case, Families, Family, listed, sound
from judging import Judge
from mock_model import write_mock_model
from mutation import as_json, spoilt_bytes, spoilt_tree
from onnx import TensorProto, helper, numpy_helper
from special_files import special_files

from selfocc_core.backends import onnxruntime as runtime
from selfocc_core.backends import open_backend
from selfocc_core.backends.interface import blank_inputs
from selfocc_core.engine.cache import EngineCache, EngineKey, EngineRecord
from selfocc_core.engine.compiler import EngineEnvironment
from selfocc_core.engine.golden import Golden, write_golden
from selfocc_core.files import sha256_of
from selfocc_core.model_card import ModelCard

Model = onnx.ModelProto
_SMALL = {'cameras': 1, 'height': 8, 'width': 16, 'grid_shape': (4, 4, 2)}


def _write_model(folder: Path, content: bytes | None = None) -> Path:
    """Write the small model, or others bytes under its card."""
    path = write_mock_model(folder / 'model.onnx', **_SMALL)
    if content is not None:
        path.write_bytes(content)
        card = ModelCard.model_validate_json(ModelCard.path_for(path).read_text())
        card.model_copy(update={'onnx_sha256': sha256_of(path)}).write_for(path)
    return path


def _open(path: Path, judge: Judge) -> None:
    with judge.entry('open_backend'):
        backend = open_backend(path, threads=1, backend='onnxruntime-cpu')
        backend.infer(blank_inputs(backend.card))
        backend.close()


def _model_case(folder: Path, words: str, content: bytes) -> Case:
    path = _write_model(folder, content)
    # Of what a runtime says about itself, a sentence names the model instead of the file.
    return Case(words, partial(_open, path), (path.name, 'model mock', 'it gave no usable'))


def _spoilt_onnx(number: int, random: Random, folder: Path) -> Case:
    data = _write_model(folder).read_bytes()
    words, spoilt = spoilt_bytes(data, random)
    return _model_case(folder, words, spoilt)


def _spoilt_graph(number: int, random: Random, folder: Path) -> Case:
    """Return a model that can be parsed, but whose graph is not what it should be."""
    model = onnx.load(str(_write_model(folder)))
    way = random.choice((_spoil_node, _spoil_initializer, _spoil_value, _spoil_opset))
    words = way(model, random)
    return _model_case(folder, words, model.SerializeToString())


_OPERATORS = ('Identity', 'Reshape', 'Loop', 'If', 'NonZero', 'Tile', 'Expand', 'Nothing', 'Sum')


def _spoil_node(model: Model, random: Random) -> str:
    node = random.choice(model.graph.node)
    way = random.choice(('input', 'output', 'operator', 'domain', 'drop', 'double'))
    if way == 'drop':
        model.graph.node.remove(node)
    elif way == 'double':
        model.graph.node.append(node)
    elif way == 'operator':
        node.op_type = random.choice(_OPERATORS)
    elif way == 'domain':
        node.domain = random.choice(('', 'ai.onnx.ml', 'com.microsoft', '../x', 'x' * 1000))
    else:
        names = getattr(node, way)
        names[0] = random.choice(('', 'nothing', 'sdf', 'images', 'a\nb', *node.output))
    return f'{way} of a node becomes {node.op_type} {node.domain[:20]} {list(node.input)}'


def _spoil_initializer(model: Model, random: Random) -> str:
    tensor = random.choice(model.graph.initializer)
    way = random.choice(('dims', 'type', 'name', 'data'))
    if way == 'dims':
        tensor.dims[:] = random.choice(([], [-1], [0], [2**62], [2**31, 2**31], [1] * 500))
    elif way == 'type':
        tensor.data_type = random.choice((0, 2, 7, 8, 16, 99))
    elif way == 'name':
        tensor.name = random.choice(('', 'sdf', 'images', 'x' * 10**5))
    else:
        tensor.raw_data = random.randbytes(random.choice((0, 1, 10**4)))
    return f'{way} of {tensor.name[:30]}'


def _spoil_value(model: Model, random: Random) -> str:
    value = random.choice((*model.graph.input, *model.graph.output))
    shape = value.type.tensor_type.shape
    place = random.randrange(len(shape.dim))
    shape.dim[place].dim_value = random.choice((-1, 0, 2**31, 2**62))
    return f'{value.name} has {shape.dim[place].dim_value} values along axis {place}'


def _spoil_opset(model: Model, random: Random) -> str:
    model.opset_import[0].version = version = random.choice((-1, 0, 1, 7, 99, 2**62))
    model.ir_version = random.choice((0, 3, 8, 99))
    return f'opset {version}, IR {model.ir_version}'


def _with_external(location: str, prepare: Callable[[Path], Any]) -> Callable[[Path], Case]:
    """Return a model whose weights lie where it says."""

    def make(folder: Path) -> Case:
        model = onnx.load(str(_write_model(folder)))
        tensor = next(t for t in model.graph.initializer if t.name == 'flat_ground')
        tensor.ClearField('raw_data')
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (('location', location), ('offset', '0'), ('length', '128')):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        prepare(folder)
        case = _model_case(folder, '', model.SerializeToString())

        def run(judge: Judge) -> None:
            case.run(judge)
            if judge.refusals == 0:
                judge.wrong.append('weights from elsewhere are read')

        return Case('', run, case.names)

    return make


def _secret(folder: Path) -> None:
    (folder.parent / 'secret').write_bytes(bytes(4096))


def _with_loop(trips: int, folder: Path) -> Case:
    body = helper.make_graph(
        [
            helper.make_node('Identity', ['go'], ['goes on']),
            helper.make_node('Identity', ['x'], ['y']),
        ],
        'body',
        [
            helper.make_tensor_value_info('trip', TensorProto.INT64, []),
            helper.make_tensor_value_info('go', TensorProto.BOOL, []),
            helper.make_tensor_value_info('x', TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info('goes on', TensorProto.BOOL, []),
            helper.make_tensor_value_info('y', TensorProto.FLOAT, []),
        ],
    )
    loop = helper.make_node('Loop', ['trips', 'yes', 'images_nothing'], ['total'], body=body)
    constants = {'trips': np.array(trips, np.int64), 'yes': np.array(True)}
    return _with_nodes(folder, [loop], constants)


def _with_many_values(count: int, folder: Path) -> Case:
    nodes = [
        helper.make_node('ConstantOfShape', ['count'], ['many']),
        helper.make_node('ReduceSum', ['many'], ['total'], keepdims=0),
    ]
    return _with_nodes(folder, nodes, {'count': np.array([count], np.int64)})


def _with_nodes(folder: Path, nodes: list[Any], constants: dict[str, Any]) -> Case:
    model = onnx.load(str(_write_model(folder)))
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in constants.items())
    (place,) = (i for i, n in enumerate(model.graph.node) if n.output[0] == 'sdf')
    model.graph.node[place].input.append('total')
    for node in reversed(nodes):
        model.graph.node.insert(place, node)
    return _model_case(folder, '', model.SerializeToString())


def _endless(folder: Path) -> Case:
    case = _with_loop(2**40, folder)

    def run(judge: Judge) -> None:
        longest, runtime.LONGEST_RUN_S = runtime.LONGEST_RUN_S, 0.5
        try:
            case.run(judge)
        finally:
            runtime.LONGEST_RUN_S = longest

    return Case('', run, case.names)


def _calling_itself(folder: Path) -> Case:
    model = onnx.load(str(_write_model(folder)))
    call = helper.make_node('F', ['x'], ['y'], domain='d')
    imports = [helper.make_opsetid('d', 1)]
    model.functions.append(helper.make_function('d', 'F', ['x'], ['y'], [call], imports))
    model.opset_import.extend(imports)
    (place,) = (i for i, n in enumerate(model.graph.node) if n.output[0] == 'images_nothing')
    model.graph.node[place].output[0] = 'before'
    again = helper.make_node('F', ['before'], ['images_nothing'], domain='d')
    model.graph.node.insert(place + 1, again)
    return _model_case(folder, '', model.SerializeToString())


def _bytes_as_model(content: bytes) -> Callable[[Path], Case]:
    return lambda folder: _model_case(folder, '', content)


_ONNX: dict[str, Callable[[Path], Case]] = {
    'weights above the folder': _with_external('../secret', _secret),
    'weights of the system': _with_external('/etc/hostname', lambda _: None),
    'weights without end': _with_external('/dev/zero', lambda _: None),
    'weights from a pipe': _with_external('pipe', lambda f: os.mkfifo(f / 'pipe')),
    'weights from a link': _with_external(
        'link', lambda f: (f / 'link').symlink_to('/etc/hostname')
    ),
    'weights that are missing': _with_external('nowhere', lambda _: None),
    'a loop without end': _endless,
    'a loop of ten rounds': partial(_with_loop, 10),
    'a loop of no rounds': partial(_with_loop, -1),
    '2^40 values': partial(_with_many_values, 2**40),
    '2^62 values': partial(_with_many_values, 2**62),
    'less than no values': partial(_with_many_values, -1),
    'a function that calls itself': _calling_itself,
    'nothing': _bytes_as_model(b''),
    'a megabyte of zeros': _bytes_as_model(bytes(2**20)),
    'a pickle': _bytes_as_model(b"cos\nsystem\n(S'touch escaped'\ntR."),
    'an archive': _bytes_as_model(b'PK\x03\x04' + bytes(100)),
    'deeply nested messages': _bytes_as_model(b'\x3a\xff\xff\xff\x07' * 10**4),
}


@cache
def _golden_bytes(compressed: bool) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = _write_model(Path(folder))
        write_golden(path, blank_inputs(ModelCard.load_for(path)))
        golden = Golden.path_for(path)
        if compressed:
            return golden.read_bytes()
        with np.load(golden, allow_pickle=False) as arrays:
            np.savez(golden, allow_pickle=False, **arrays)
        return golden.read_bytes()


def _golden_case(folder: Path, words: str, content: bytes) -> Case:
    path = _write_model(folder)
    Golden.path_for(path).write_bytes(content)

    def run(judge: Judge) -> None:
        with judge.entry('Golden.load_for'):
            Golden.load_for(path)

    return Case(words, run, (Golden.path_for(path).name,))


def _spoilt_golden(number: int, random: Random, folder: Path) -> Case:
    words, spoilt = spoilt_bytes(_golden_bytes(bool(number % 2)), random)
    return _golden_case(folder, words, spoilt)


def _spoilt_array(number: int, random: Random, folder: Path) -> Case:
    """Return an archive that is sound, but one array in it is not, mostly in its header."""
    with zipfile.ZipFile(io.BytesIO(_golden_bytes(True))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(list(members))
    head, rest = members[name][:128], members[name][128:]
    words, head = spoilt_bytes(head, random)
    return _golden_case(folder, f'{name}: {words}', _archive(members | {name: head + rest}))


def _archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _array(header: str, content: bytes = b'', version: bytes = b'\x01\x00') -> bytes:
    padded = header.encode() + b'\n'
    size = len(padded).to_bytes(2 if version[0] == 1 else 4, 'little')
    return b'\x93NUMPY' + version + size + padded + content


_HEADERS: dict[str, str] = {
    'an array of objects': "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    'an array of 2^60 values': "{'descr': '|u1', 'fortran_order': False, 'shape': (2**60,)}",
    'an array of many values': "{'descr': '|u1', 'fortran_order': False, 'shape': (10**15,)}",
    'an array of no bytes each': "{'descr': '|S0', 'fortran_order': False, 'shape': (10**15,)}",
    'less than no values': "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -1)}",
    'a header that runs': "{'descr': __import__('os').system('touch escaped')}",
    'a deep header': '(' * 5000,
    'a header with half a string': "{'descr': '",
    'a header with a dict as key': '{{}: 1}',
    'a header of an unknown type': "{'descr': [('a', '?')], 'fortran_order': 0, 'shape': ()}",
    'an order that is none': "{'descr': '|u1', 'fortran_order': 7, 'shape': ()}",
    'indented': " {'descr': '|u1'}\n  {",
}


def _golden_of(members: Callable[[], dict[str, bytes]], method: int) -> Callable[[Path], Case]:
    return lambda folder: _golden_case(folder, '', _archive(members(), method))


def _stored(members: Callable[[], dict[str, bytes]]) -> Callable[[Path], Case]:
    return _golden_of(members, zipfile.ZIP_STORED)


_GOLDEN: dict[str, Callable[[Path], Case]] = {
    **{
        words: _stored(partial(lambda text: {'images.npy': _array(text)}, header))
        for words, header in _HEADERS.items()
    },
    'half a gigabyte of zeros': _golden_of(
        lambda: {'images.npy': bytes(2**29)}, zipfile.ZIP_DEFLATED
    ),
    'members outside of the folder': _stored(lambda: {'../../escaped.npy': _array('{}')}),
    'no members': _stored(dict),
    'a pickle as array': _stored(lambda: {'images.npy': b"cos\nsystem\n(S'x'\ntR."}),
    'a version of the future': _stored(lambda: {'images.npy': _array('{}', version=b'\x09\x00')}),
    'lzma': _golden_of(lambda: {'images.npy': _array('{}')}, zipfile.ZIP_LZMA),
    'thousands of members': _stored(lambda: {f'{n}.npy': b'' for n in range(5000)}),
    'nothing': lambda folder: _golden_case(folder, '', b''),
    'an end of an archive alone': lambda folder: _golden_case(
        folder, '', b'PK\x05\x06' + bytes(18)
    ),
}


_ENVIRONMENT = EngineEnvironment('10.3', '12.6', '12.6', 'Orin', '8.7', 16, 'none', 'none', 'k')
_KEY = EngineKey('m', 'fp16', '', '1.0.0', _ENVIRONMENT)


def _spoilt_record(number: int, random: Random, folder: Path) -> Case:
    cache_folder = EngineCache(folder / 'out')
    cache_folder.folder.mkdir()
    path = cache_folder.engine_path('model', _KEY)
    path.write_bytes(b'engine')
    record = EngineRecord(key=_KEY, mode='fused plugin', engine_sha256=sha256_of(path))
    if number % 2:
        words, content = spoilt_bytes(record.model_dump_json().encode(), random)
    else:
        words, tree = spoilt_tree(record.model_dump(mode='json'), random)
        content = as_json(tree)
    path.with_suffix('.json').write_bytes(content)

    def run(judge: Judge) -> None:
        with judge.entry('EngineCache.find'):
            found = cache_folder.find(path, _KEY)
            assert found is None or asdict(found.key) == asdict(_KEY)

    return Case(words, run)


def _model_file(folder: Path) -> Path:
    return _write_model(folder)


def _golden_file(folder: Path) -> Path:
    return Golden.path_for(_write_model(folder))


SPECIAL = special_files(
    {
        'open_backend': (_model_file, lambda path: open_backend(path, backend='onnxruntime-cpu')),
        'Golden.load_for': (
            _golden_file,
            lambda path: Golden.load_for(path.with_name('model.onnx')),
        ),
    }
)

_SOUND: dict[str, Callable[[Path], Case]] = {
    'a model': lambda f: _model_case(f, '', _write_model(f).read_bytes()),
    'golden outputs': lambda f: _golden_case(f, '', _golden_bytes(True)),
    'golden outputs, not compressed': lambda f: _golden_case(f, '', _golden_bytes(False)),
}

FAMILIES: Families = {
    'sound-model': sound(_SOUND),
    'special-model': SPECIAL,
    'onnx': Family(_spoilt_onnx, 120),
    'graph': Family(_spoilt_graph, 120),
    'onnx-listed': listed(_ONNX),
    'golden': Family(_spoilt_golden, 120),
    'golden-array': Family(_spoilt_array, 120),
    'golden-listed': listed(_GOLDEN),
    'engine': Family(_spoilt_record, 60),
}
