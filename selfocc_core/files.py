"""Reading with bounds, writing without leaving half a file behind."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from selfocc_core.errors import SelfOccError
from selfocc_core.quoting import shown

_MAX_TEXT_BYTES, _MAX_BYTES = 4 * 2**20, 64 * 2**20
_MAX_YAML_BYTES = 2**18  # its parser takes seconds for so much
_MAX_NAME = 1000


def read_text(path: Path, what: str) -> str:
    """Return the text of a small file.

    Raises:
        SelfOccError: The file is missing, unreadable, no plain file, larger than 4 MiB or not
            UTF-8.
    """
    return _read_text(path, what, _MAX_TEXT_BYTES)


def _read_text(path: Path, what: str, limit: int) -> str:
    try:
        return _read(path, what, limit).decode('utf-8')
    except UnicodeDecodeError as error:
        raise SelfOccError(f'{what} {shown(path, _MAX_NAME)} is not a text file') from error


def read_json(path: Path, what: str) -> Any:
    """Return what a small JSON file says.

    Raises:
        SelfOccError: It cannot be read, or is not JSON.
    """
    text = read_text(path, what)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SelfOccError(
            f'{what} {shown(path, _MAX_NAME)} is not JSON: {shown(error)}'
        ) from error


def read_yaml(path: Path, what: str) -> Any:
    """Return what a small YAML file says.

    Raises:
        SelfOccError: It cannot be read, is larger than 256 KiB, or is not YAML.
    """
    text = _read_text(path, what, _MAX_YAML_BYTES)
    try:
        return yaml.safe_load(text)
    # A number or a date that is none is no YAMLError.
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        reason = shown(' '.join(str(error).split()))
        raise SelfOccError(f'{what} {shown(path, _MAX_NAME)} is not YAML: {reason}') from error


def read_bytes(path: Path, what: str) -> bytes:
    """Return the content of a file.

    Raises:
        SelfOccError: The file is missing, unreadable, no plain file or larger than 64 MiB.
    """
    return _read(path, what, _MAX_BYTES)


def _read(path: Path, what: str, limit: int) -> bytes:
    name = f'{what} {shown(path, _MAX_NAME)}'
    try:
        # A pipe would keep who opens it waiting, a device may have no end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SelfOccError(f'cannot read {name}: it is no plain file')
        with path.open('rb') as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise SelfOccError(f'cannot read {name}: {error.strerror}') from error
    except ValueError as error:  # of a name that no file can have
        raise SelfOccError(f'cannot read {name}: {error}') from error
    if len(content) > limit:
        size = f'{limit // 2**20} MiB' if limit >= 2**20 else f'{limit // 2**10} KiB'
        raise SelfOccError(f'{name} is larger than {size}: is it the right file?')
    return content


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal.

    Raises:
        SelfOccError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open('rb') as stream:
            for chunk in iter(lambda: stream.read(1 << 20), b''):
                digest.update(chunk)
    except OSError as error:
        raise SelfOccError(f'cannot read {shown(path, _MAX_NAME)}: {error.strerror}') from error
    return digest.hexdigest()


def _unwritable(path: Path, error: OSError) -> SelfOccError:
    return SelfOccError(f'cannot write {shown(path, _MAX_NAME)}: {error.strerror}')


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        SelfOccError: It cannot be written.
    """
    with temporary_sibling(path) as temporary:
        try:
            temporary.write_bytes(content)
        except OSError as error:
            raise _unwritable(path, error) from error


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
            raise _unwritable(path, error) from error


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
        raise _unwritable(path, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_files(folder: Path, target: Path) -> None:
    """Put all finished files of a folder into another; what else lies there stays."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        path.replace(target / path.name)
