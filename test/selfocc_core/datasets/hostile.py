"""Tables in which one value is not what it should be."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfocc_core.errors import SelfOccError

_VALUES = (
    None, True, -1, 10**30, 1e308, float('nan'), float('inf'), '', '../../x', 'a\0b', [], {}, [[]],
)  # fmt: skip


def hostile_variants(text: str) -> Iterator[str]:
    """Yield the table with each of its values replaced, and each key left out, in turn."""
    table = json.loads(text)
    for path in _paths(table):
        for value in _VALUES:
            yield json.dumps(_with(table, path, lambda parent, key, v=value: _set(parent, key, v)))
        yield json.dumps(_with(table, path, lambda parent, key: parent.pop(key)))


@contextmanager
def ended_well_or_in_one_sentence(folder: Path, what: str) -> Iterator[Path]:
    """Yield a bag to write; check that it is there, or nothing is and one sentence says why."""
    out = folder / 'd.mcap'
    out.unlink(missing_ok=True)
    said = None
    try:
        yield out
    except SelfOccError as error:
        said = str(error)
    assert said is None or '\n' not in said, what
    left = [path.name for path in folder.glob('*')]
    assert left == ([] if said else ['d.mcap']), what


def _paths(table, path=()) -> Iterator[tuple]:
    """Yield the way to each value; of a list to the first and the last alone."""
    if path:
        yield path
    if isinstance(table, dict):
        for key, value in table.items():
            yield from _paths(value, (*path, key))
    elif isinstance(table, list):
        for index in sorted({0, len(table) - 1} & set(range(len(table)))):
            yield from _paths(table[index], (*path, index))


def _with(table, path, change):
    changed = copy.deepcopy(table)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return changed


def _set(parent, key, value) -> None:
    parent[key] = value
