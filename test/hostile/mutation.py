"""Ways in which the bytes, the text or the tree of a file are spoilt, by a random generator."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

# Field values that break what trusts them: signs, sizes beyond the file, beyond memory, overflow.
INTERESTING = (
    *(0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
)
WEIRD_TEXT = (
    *('', ' ', '.', '..', '/', '../../../escaped', '/tmp/escaped', '~/escaped', 'a/b', 'con\0nul'),
    *('two\nlines', 'tab\tand\rreturn', '\x1b[31mred', '\u202egnirts', '\ufeff', '日本', '🚗'),
    *('%s%n%x', '{0}', '${HOME}', '$(touch escaped)', '[bold]', '[/nothing]', 'x' * 5000, '\x7f'),
    *('nan', '-inf', '1e999', '-1', '0x10', '1_000', '9' * 5000, 'true', 'null', '2001-99-99'),
)
WEIRD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        [],
        {},
        [[]],
        {'': None},
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        -(2**63),
        10**30,
    ),
    *(0.0, -0.0, 1e-320, 1e308, -1e308, 1.5, float('nan'), float('inf'), -float('inf')),
    *WEIRD_TEXT,
)

Spoilt = tuple[str, bytes]
Field = tuple[int, int]  # where it begins, how many bytes it has


def spoilt_bytes(data: bytes, random: Random, fields: Sequence[Field] = ()) -> Spoilt:
    """Return in words what was done to some bytes, and what became of them.

    Args:
        data: The bytes.
        random: Chooses.
        fields: Where numbers lie that say sizes, places or counts; any place by default.
    """
    ways: list[Callable[[bytes, Random], Spoilt]] = [
        *(_cut, _bits, _run, _inserted, _removed, _doubled, _swapped, _number),
    ]
    if fields:
        ways += [lambda d, r: _field(d, r, fields)] * 6
    words, result = random.choice(ways)(data, random)
    if random.random() < 0.25:
        more, result = random.choice(ways)(result, random)
        words = f'{words}; {more}'
    return words, result


def _place(data: bytes, random: Random) -> int:
    return random.randrange(max(1, len(data)))


def _cut(data: bytes, random: Random) -> Spoilt:
    # Files end at block borders, within the first bytes, and just before their end.
    ends = [_place(data, random), random.randrange(64), len(data) - random.randrange(64)]
    ends.append(_place(data, random) // 512 * 512)
    end = min(len(data), max(0, random.choice(ends)))
    return f'cut at {end} of {len(data)}', data[:end]


def _bits(data: bytes, random: Random) -> Spoilt:
    result, places = bytearray(data), []
    for _ in range(random.choice((1, 1, 2, 8))):
        place, bit = _place(data, random), random.randrange(8)
        if place < len(result):
            result[place] ^= 1 << bit
            places.append(f'{place}.{bit}')
    return f'bits {" ".join(places)} flipped', bytes(result)


def _run(data: bytes, random: Random) -> Spoilt:
    start, size = _place(data, random), random.choice((1, 4, 16, 256, 4096))
    kind = random.choice(('zero', 'ones', 'random'))
    size = min(size, len(data) - start)
    filling = {'zero': bytes(size), 'ones': b'\xff' * size}.get(kind) or random.randbytes(size)
    return f'{size} bytes from {start} on are {kind}', data[:start] + filling + data[
        start + size :
    ]


def _inserted(data: bytes, random: Random) -> Spoilt:
    start, size = _place(data, random), random.choice((1, 3, 8, 100, 4096))
    return f'{size} bytes inserted at {start}', data[:start] + random.randbytes(size) + data[
        start:
    ]


def _removed(data: bytes, random: Random) -> Spoilt:
    start, size = _place(data, random), random.choice((1, 3, 8, 100, 4096))
    return f'{size} bytes removed at {start}', data[:start] + data[start + size :]


def _doubled(data: bytes, random: Random) -> Spoilt:
    start, size = _place(data, random), random.choice((8, 100, 1000))
    part = data[start : start + size]
    return f'{size} bytes at {start} doubled', data[:start] + part + data[start:]


def _swapped(data: bytes, random: Random) -> Spoilt:
    first, second = sorted((_place(data, random), _place(data, random)))
    size = min(random.choice((1, 16, 300)), second - first, len(data) - second)
    parts = data[:first], data[second : second + size], data[first + size : second]
    result = b''.join((*parts, data[first : first + size], data[second + size :]))
    return f'{size} bytes at {first} and {second} swapped', result


def _number(data: bytes, random: Random) -> Spoilt:
    size = random.choice((1, 2, 4, 8))
    return _field(data, random, [(_place(data, random) // size * size, size)])


def _field(data: bytes, random: Random, fields: Sequence[Field]) -> Spoilt:
    start, size = random.choice(fields)
    order = random.choice(('little', 'little', 'big'))
    old = int.from_bytes(data[start : start + size], 'little')
    value = random.choice((*INTERESTING, old + 1, old - 1, 2 * old, len(data))) % 2 ** (8 * size)
    new = value.to_bytes(size, order)  # type: ignore[arg-type]
    return f'{size} bytes at {start} say {value:#x}', data[:start] + new + data[start + size :]


def spoilt_text(text: str, random: Random) -> tuple[str, str]:
    """Return in words what was done to the lines of a text, and what became of it."""
    lines = text.split('\n')
    place = random.randrange(len(lines))
    way = random.choice(('drop', 'double', 'swap', 'word', 'word', 'word', 'indent', 'bytes'))
    if way == 'drop':
        del lines[place]
    elif way == 'double':
        lines.insert(place, lines[place])
    elif way == 'swap':
        other = random.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    elif way == 'indent':
        lines[place] = (
            random.choice((' ', '\t', '- ', '#', '? ', '&a ', '*a ', '!!set ')) + lines[place]
        )
    elif way == 'word':
        words = lines[place].split(' ')
        words[random.randrange(len(words))] = random.choice(WEIRD_TEXT)
        lines[place] = ' '.join(words)
    else:
        words, spoilt = spoilt_bytes(text.encode(), random)
        return words, spoilt.decode('utf-8', 'surrogateescape')
    return f'{way} in line {place + 1}', '\n'.join(lines)


def spoilt_tree(tree: Any, random: Random) -> tuple[str, Any]:
    """Return in words which value of a tree of lists and dicts was replaced, and the tree."""
    tree = copy.deepcopy(tree)
    parent, path = tree, ''
    while True:
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        key = random.choice(keys)
        path += f'.{key}'
        child = parent[key]
        if isinstance(child, (dict, list)) and child and random.random() < 0.85:
            parent = child
            continue
        return f'{path[1:]}: {_spoil_entry(parent, key, random)}', tree


def _spoil_entry(parent: Any, key: Any, random: Random) -> str:
    way = random.choice(('value', 'value', 'value', 'value', 'drop', 'rename', 'wrap', 'long'))
    if way == 'drop':
        del parent[key]
    elif way == 'rename' and isinstance(parent, dict):
        parent[random.choice(WEIRD_TEXT)] = parent.pop(key)
    elif way == 'wrap':
        parent[key] = random.choice(([parent[key]], {'value': parent[key]}))
    elif way == 'long':
        parent[key] = [parent[key]] * random.choice((2, 70, 3000))
    else:
        parent[key] = random.choice(WEIRD_VALUES)
        return f'becomes {parent[key]!r:.40}'
    return way


def as_json(tree: Any) -> bytes:
    """Return a tree as JSON, with what JSON has no word for as Python writes it."""
    return json.dumps(tree).encode()
