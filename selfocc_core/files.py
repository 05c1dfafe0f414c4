"""Reading with bounds, writing without leaving half a file behind."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfocc_core.errors import SelfOccError

_MAX_TEXT_BYTES, _MAX_BYTES = 4 * 2**20, 64 * 2**20


def read_text(path: Path, what: str) -> str:
    """Return the text of a small file.

    Raises:
        SelfOccError: The file is missing, unreadable, larger than 4 MiB or not UTF-8.
    """
    try:
        if path.stat().st_size > _MAX_TEXT_BYTES:
            raise SelfOccError(f'{what} {path} is larger than 4 MiB: is it the right file?')
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise SelfOccError(f'{what} {path} is not a text file') from error
    except OSError as error:
        raise SelfOccError(f'cannot read {what} {path}: {error.strerror}') from error


def read_bytes(path: Path, what: str) -> bytes:
    """Return the content of a file.

    Raises:
        SelfOccError: The file is missing, unreadable or larger than 64 MiB.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SelfOccError(f'{what} {path} is larger than 64 MiB: is it the right file?')
        return path.read_bytes()
    except OSError as error:
        raise SelfOccError(f'cannot read {what} {path}: {error.strerror}') from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b''):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    with temporary_sibling(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def temporary_sibling(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path``; the file made there takes its place when the block ends well.

    Raises:
        SelfOccError: The folder of ``path`` cannot be written.
    """
    with temporary_folder_beside(path) as folder:
        temporary = folder / path.name
        yield temporary
        try:
            temporary.replace(path)
        except OSError as error:
            raise SelfOccError(f'cannot write {path}: {error.strerror}') from error


@contextmanager
def temporary_folder_beside(path: Path) -> Iterator[Path]:
    """Yield a new folder on the same file system as ``path``, gone when the block ends.

    Raises:
        SelfOccError: The folder of ``path`` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix='.unfinished-', dir=path.parent))
    except OSError as error:
        raise SelfOccError(f'cannot write {path}: {error.strerror}') from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
