"""Decoded video in files: made once, then mapped into memory by every process that needs it.

An entry is a folder with the pixels, ``images.u8`` and ``supervision.u8``, and ``moments.npz``
with all else; labels have an entry of their own. An entry appears when it is complete. Its name
says what it was made of: what was made of something else is never found, and what is cut off is
made again. Entries may be removed while nothing trains.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError

# Of the way in which images are made of drives: to be raised where that changes.
_VERSION = 1
_MOMENTS, _NAMES = 'moments.npz', 'names'

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class VideoCache:
    """A folder of decoded videos.

    Attributes:
        folder: Where it lies; made where it is missing.
    """

    folder: Path

    def entry(self, *facts: object) -> Path:
        """Return where the video lies that is made of something, told by its ``repr``."""
        digest = hashlib.sha256(repr((_VERSION, facts)).encode())
        return self.folder / digest.hexdigest()[:32]


def entry_beside(entry: Path, *facts: object) -> Path:
    """Return where something lies that is made of what is in an entry, and of something else."""
    return VideoCache(entry.parent).entry(entry.name, *facts)


def facts_of(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Return what tells files from others and from their own past: path, size, time of change.

    Raises:
        SelfOccError: A file is missing.
    """
    try:
        return [(str(p.absolute()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    except OSError as error:
        raise SelfOccError(f'cannot read {error.filename}: {error.strerror}') from error


def kept(entry: Path, make: Callable[[Path], Arrays]) -> Arrays:
    """Return a video from its entry; one process makes it while others wait.

    Args:
        entry: Where it lies.
        make: Writes the pixels of uint8 images into files ``<name>.u8`` of a folder; returns the
            shape of each as ``<name>_shape``, and all else.

    Returns:
        What ``make`` returned, and the images by name, mapped into memory; they cannot be written.

    Raises:
        SelfOccError: It cannot be written.
    """
    found = _mapped(entry)  # without the lock, so that a folder may be readable only
    if found is None:
        with locked(entry.with_suffix('.lock')):
            found = _mapped(entry)
            if found is None:
                _write(entry, make)
                found = _mapped(entry)
    if found is None:
        raise SelfOccError(f'cannot read back {entry}: does the disk fail?')
    return found


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process of this computer at a time into a block; a killed one leaves it.

    Args:
        path: A file that stands for the block; it stays.

    Raises:
        SelfOccError: It cannot be written.
    """
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = stack.enter_context(path.open('w'))
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            raise SelfOccError(_cannot_write(path, error)) from error
        yield


def _cannot_write(path: Path, error: OSError) -> str:
    return (
        f'cannot write {path}: {error.strerror}; make room, or choose another folder (of decoded '
        'drives with --cache)'
    )


def _mapped(entry: Path) -> Arrays | None:
    """Return what lies in an entry; ``None`` if it is missing, cut off or malformed."""
    try:
        with np.load(entry / _MOMENTS, allow_pickle=False) as stored:
            arrays = dict(stored)
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            return None  # what is no array is handed out as its bytes
        names = arrays.pop(_NAMES, None)  # checksums of an archive are not over its names
        if names is not None and not arrays.keys() >= set(names.tolist()):
            return None
        shapes = {n: a for n, a in arrays.items() if n.endswith('_shape')}
        if any(f'{p.stem}_shape' not in shapes for p in entry.glob('*.u8') if p.stat().st_size):
            return None
        for name, shape in shapes.items():
            arrays[name.removesuffix('_shape')] = _pixels(
                entry / f'{name.removesuffix("_shape")}.u8', tuple(map(int, shape))
            )
    except Exception:  # whatever the bytes of a damaged archive provoke
        return None
    return arrays


def _pixels(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if path.stat().st_size != np.prod(shape):
        raise ValueError(f'{path} is cut off')
    # Read only: what could be written would count as memory, and a long drive be refused.
    return np.asarray(np.memmap(path, np.uint8, 'r', shape=shape))


def _write(entry: Path, make: Callable[[Path], Arrays]) -> None:
    # That of a killed run is used again; computers that share a folder may not share its locks.
    unfinished = entry.with_name(f'{entry.name}.{platform.node()}.unfinished')
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir()
        arrays = make(unfinished)
        with (unfinished / _MOMENTS).open('wb') as stream:
            names = np.array(sorted(arrays), np.str_)
            np.savez(stream, allow_pickle=False, **arrays, **{_NAMES: names})
        if _mapped(entry) is None:  # another computer may have been faster, and use it
            shutil.rmtree(entry, ignore_errors=True)
            unfinished.rename(entry)
    except OSError as error:
        raise SelfOccError(_cannot_write(entry, error)) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
