"""Nothing that is read may be executed: rules for the sources that a machine can check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ('selfocc_core', 'selfocc_ros', 'training', 'benchmarks', 'launch')

# Modules that execute what they read, or write wherever an archive says.
MODULES = {'pickle', 'cPickle', 'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve', 'tarfile'}
CALLS = {'eval', 'exec', 'yaml.load', 'yaml.full_load', 'yaml.unsafe_load', 'os.system'}
METHODS = {'extractall', 'extract', 'unpack_archive', 'load_pickle'}
# What may be called only if it is told not to execute.
REQUIRED = {
    'np.load': ('allow_pickle', False),
    'np.save': ('allow_pickle', False),
    'np.savez': ('allow_pickle', False),
    'np.lib.format.read_array': ('allow_pickle', False),
    'torch.load': ('weights_only', True),
}


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob('*.py'))]


def offences(source: str) -> Iterator[str]:
    """Yield line and name of all that could execute what it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            modules = [node.module or ''] if isinstance(node, ast.ImportFrom) else names
            yield from (f'{node.lineno}: {m}' for m in modules if m.split('.')[0] in MODULES)
        elif isinstance(node, ast.Call):
            yield from _offences_of_call(node)


def _offences_of_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
    if name in CALLS or name.split('.')[-1] in METHODS or given.get('shell') is True:
        yield f'{call.lineno}: {name}'
    elif name in REQUIRED:
        option, value = REQUIRED[name]
        if given.get(option) is not value:
            yield f'{call.lineno}: {name} without {option}={value}'


def test_nothing_that_is_read_is_executed():
    found = [
        f'{path.relative_to(ROOT)}:{offence}'
        for path in sources()
        for offence in offences(path.read_text(encoding='utf-8'))
    ]
    assert len(sources()) > 100
    assert found == []


@pytest.mark.parametrize(
    'source',
    [
        'import pickle',
        'from pickle import loads',
        'yaml.load(text)',
        'np.load(path)',
        'np.load(path, allow_pickle=True)',
        'torch.load(path, map_location="cpu")',
        'archive.extractall(folder)',
        'eval(text)',
        'subprocess.run(command, shell=True)',
    ],
)
def test_the_rules_find_what_they_forbid(source):
    assert list(offences(source))
