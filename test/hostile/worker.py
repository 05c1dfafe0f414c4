"""Runs hostile inputs in a process of its own, with little memory, and says what came of each.

As a program, to look at one case with a debugger or to see its traceback:

    .venv/bin/python test/hostile/worker.py FAMILY SEED NUMBER
"""

from __future__ import annotations

import ctypes
import faulthandler
import fnmatch
import importlib
import json
import logging
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

_TESTS = Path(__file__).resolve().parents[1]

if __name__ == '__main__':  # pytest looks for modules by itself
    folders = (_TESTS.parent, _TESTS, _TESTS / 'training' / 'data', _TESTS / 'training')
    sys.path[1:1] = map(str, folders)

from case import Case, Families, Family  # noqa: E402
from judging import Audit, Judge, judged, told  # noqa: E402

BATCHES = {
    'recordings': ('bag_cases',),
    'files': ('config_cases', 'image_cases'),
    'models': ('model_cases',),
    'training': ('training_cases', 'dataset_cases', 'command_cases'),
}
# What a process may take beyond what its libraries took; those of training take more as they go.
_HEADROOM_BYTES = {'recordings': 2**30, 'files': 2**30, 'models': 2**30, 'training': 2**32}
_LARGEST_FILE_BYTES = 2**28

State = dict[str, tuple[int, int]]


def families_of(batch: str) -> Families:
    """Return the families of a batch by name, their modules imported."""
    modules = [importlib.import_module(name) for name in BATCHES[batch]]
    return {name: family for module in modules for name, family in module.FAMILIES.items()}


def cases_of(families: Families, seed: int, factor: float) -> Iterator[tuple[str, int]]:
    """Yield family and number of each case; listed cases come once, with the first seed.

    Args:
        families: Families by name.
        seed: Seed of all that is random.
        factor: How many times as many random cases as by default.
    """
    for name, family in families.items():
        if family.most is None:
            yield from ((name, number) for number in range(round(family.count * factor)))
        elif seed == 1 and factor >= family.least_factor:
            yield from ((name, number) for number in range(family.most))


class Sandbox:
    """A folder that is all the disk a case should touch, with home and temporary files in it.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        for name in ('home', 'tmp', 'cwd', 'cache'):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        os.environ |= {'HOME': str(self.root / 'home'), 'TMPDIR': str(self.root / 'tmp')}
        os.environ['XDG_CACHE_HOME'] = str(self.root / 'cache')
        tempfile.tempdir = None
        os.chdir(self.root / 'cwd')
        self.audit = Audit(self.root)

    def run(self, name: str, seed: int, number: int, family: Family) -> Iterator[Any]:
        """Yield what is hostile in a case, then run it and yield what is wrong with its end."""
        # Deep enough that names with ../../.. in them still end up where we look.
        folder = self.root / 'work/a/b/c' / f'{name}-{number}'
        folder.mkdir(parents=True)
        try:
            try:
                random = Random(f'{name}/{seed}/{number}')  # noqa: S311
                case = family.make(number, random, folder)
            except Exception as error:
                yield 'cannot be made'
                yield [f'no case: {told(error)}']
                return
            yield case.words
            before, judge = self._state(), Judge(case.names)
            wrong = judged(case.run, judge, self.audit)
            yield [*wrong, *self._left(before, folder, case, judge)]
        finally:
            shutil.rmtree(folder)

    def _state(self) -> State:
        state: State = {}
        for parent, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                path = f'{parent}{os.sep}{name}'
                stat = os.lstat(path)
                is_file = name in files
                state[path] = (stat.st_size, stat.st_mtime_ns) if is_file else (0, 0)
        return state

    def _left(self, before: State, folder: Path, case: Case, judge: Judge) -> Iterator[str]:
        """Yield what is on the disk that should not be."""
        after, out = self._state(), str(folder / 'out') + os.sep
        yield from (f'removes {path}' for path in before.keys() - after.keys())
        for path in sorted(path for path in after if before.get(path) != after[path]):
            relative = path.removeprefix(out)
            allowed = judge.refusals == 0 or any(fnmatch.fnmatch(relative, p) for p in case.leaves)
            if not path.startswith(out) or not allowed or 'unfinished' in relative:
                yield f'leaves {path.removeprefix(str(self.root))}'


def limit(batch: str) -> None:
    """Bound memory and files, dump no cores, and give up root's right to read everything."""
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    address_space = pages * resource.getpagesize() + _HEADROOM_BYTES[batch]
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE_BYTES, _LARGEST_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        _obey_permissions()


def _obey_permissions() -> None:
    """Drop CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, which the tests' container may give."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) == 0:
        for word in (0, 1, 2):
            data[word] &= ~0b110
        libc.capset(header, data)


def work(batch: str, seed: int, factor: float, first: int, root: Path) -> None:
    """Run the cases of a batch from some number on; tell of each before and after on stdout."""
    sandbox = Sandbox(root)  # before libraries look where home is
    families = families_of(batch)
    logging.getLogger().addHandler(logging.NullHandler())
    limit(batch)
    cases = list(cases_of(families, seed, factor))
    for place, (name, number) in list(enumerate(cases))[first:]:
        for said in sandbox.run(name, seed, number, families[name]):
            _tell({'place': place, 'case': f'{name} {seed} {number}', 'said': said})
    _tell({'place': -1, 'said': len(cases)})


def _tell(message: object) -> None:
    _STDOUT.write(json.dumps(message) + '\n')
    _STDOUT.flush()


def show(name: str, seed: int, number: int) -> int:
    """Run one case and print what is wrong with it."""
    with tempfile.TemporaryDirectory() as root:
        sandbox = Sandbox(Path(root))
        batch = next(batch for batch in BATCHES if name in families_of(batch))
        limit(batch)
        words, wrong = sandbox.run(name, seed, number, families_of(batch)[name])
    print(words, *wrong, sep='\n')
    return len(wrong)


if __name__ == '__main__':
    faulthandler.enable()
    if len(sys.argv) == 4:
        sys.exit(show(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    # Whatever a case prints must not come between.
    _STDOUT = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    work(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
