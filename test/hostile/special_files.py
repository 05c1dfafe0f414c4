"""What lies where a file is expected, and is none that could be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from case import Case, Family, listed
from judging import Judge

Prepare = Callable[[Path], Path]
"""Makes all that a reader wants in a folder, and returns the file that will be none."""


def _endless(path: Path) -> None:
    path.symlink_to('/dev/zero')


def _link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _link_to_nowhere(path: Path) -> None:
    path.symlink_to('nowhere')


def _forbidden(path: Path) -> None:
    path.write_bytes(b'secret')
    path.chmod(0)


def _sparse(path: Path) -> None:
    with path.open('wb') as stream:
        stream.truncate(2**27)


_KINDS: dict[str, Callable[[Path], None]] = {
    'a pipe': os.mkfifo,
    'a folder': Path.mkdir,
    'empty': Path.touch,
    'forbidden': _forbidden,
    'endless': _endless,
    'a link to itself': _link_to_itself,
    'a link to nowhere': _link_to_nowhere,
    'large and empty': _sparse,
    'missing': lambda _: None,
}


def special_files(readers: dict[str, tuple[Prepare, Callable[[Path], object]]]) -> Family:
    """Return the family in which each reader meets each kind of what is no file of its own.

    Args:
        readers: How to prepare a folder and how to read the file, by the name of the reader.
    """
    return listed(
        {
            f'{name}: the file is {kind}': partial(_case, name, prepare, read, make)
            for name, (prepare, read) in readers.items()
            for kind, make in _KINDS.items()
        }
    )


def _case(
    name: str,
    prepare: Prepare,
    read: Callable[[Path], object],
    make: Callable[[Path], None],
    folder: Path,
) -> Case:
    inputs = folder / 'in'
    inputs.mkdir()
    path = prepare(inputs)
    path.unlink(missing_ok=True)
    make(path)

    def run(judge: Judge) -> None:
        with judge.entry(name):
            read(path)
            judge.wrong.append('what is no file is read')

    return Case('', run, (path.name, inputs.name + os.sep))
