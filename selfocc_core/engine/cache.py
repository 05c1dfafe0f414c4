"""Engines that were built and accepted, on disk.

An engine is two files: the engine, and beside it a JSON that says exactly what it is of. The JSON
is read first, and an engine that is not of what is asked for, or whose content is not what the
JSON says, is never opened. Both appear atomically, the JSON last, under a lock that the kernel
lets go when its holder dies.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from selfocc_core.engine.compiler import EngineEnvironment
from selfocc_core.engine.graph_modes import Mode
from selfocc_core.engine.parity import Precision
from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_text, sha256_of

FORMAT = 2
_KEPT_ENGINES = 8
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on.

    Attributes:
        model: Hash of the model file, which holds all weights.
        precision: Precision of the features.
        scales: Hash of the scales of int8; empty otherwise.
        selfocc: Version of this package, which rewrites the graph.
        environment: Device and libraries.
    """

    model: str
    precision: Precision
    scales: str
    selfocc: str
    environment: EngineEnvironment


@dataclass(frozen=True)
class Refusal:
    """A mode that was tried and did not lead to an engine, and why."""

    mode: Mode
    reason: str


class EngineRecord(BaseModel):
    """The JSON beside an engine.

    Attributes:
        format: Version of this file.
        key: What the engine is of.
        mode: Which graph TensorRT was given.
        refusals: Better modes that were tried before it.
        engine_sha256: Hash of the engine file.
    """

    model_config = ConfigDict(extra='forbid')

    format: int = FORMAT
    key: EngineKey
    mode: Mode
    refusals: tuple[Refusal, ...] = ()
    engine_sha256: str


class EngineCache:
    """A folder of engines.

    Args:
        folder: The folder; it is made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def engine_path(self, name: str, key: EngineKey) -> Path:
        """Return where the engine of a model lies; another key is another file.

        Args:
            name: Name of the model, for people who look into the folder.
            key: What the engine is of.
        """
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return self.folder / f'{name}-{key.precision}-{digest}.engine'

    def find(self, path: Path, key: EngineKey) -> EngineRecord | None:
        """Return the record of an engine that is what the key says, otherwise ``None``.

        An engine that was asked for lately is not among those that others push out.
        """
        if not path.is_file() or not _record_path(path).is_file():
            return None
        try:
            content = read_text(_record_path(path), 'engine record')
            record = EngineRecord.model_validate_json(content)
            is_same = record.format == FORMAT and record.key == key
            if not is_same or record.engine_sha256 != sha256_of(path):
                return None
        except (SelfOccError, ValidationError):
            return None
        with suppress(OSError):  # of a folder that is only read nothing is pushed out either
            path.touch()
        return record

    @contextmanager
    def locked(self, path: Path, report: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock of an engine, once nobody else does.

        In a folder that cannot be written nobody builds, and no lock is needed.

        Args:
            path: The engine.
            report: Is told if there is another process to wait for.

        Raises:
            SelfOccError: The folder cannot be made.
        """
        descriptor = self._open_lock(path)
        if descriptor is None:
            yield
            return
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report(f'another process builds {path.name}: waiting for it')
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def draft(self, path: Path) -> Iterator[Path]:
        """Yield where to write an engine before it is accepted; whatever is there goes.

        To be used under the lock of the engine, so that a draft that a killed builder left can
        be nobody's.

        Raises:
            SelfOccError: The folder cannot be written, or the disk is full.
        """
        draft = path.with_name(f'.{path.name}.draft')
        try:
            with _told(path):
                draft.write_bytes(b'')  # better now than after minutes of building
            yield draft
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def write(self, path: Path, content: bytes) -> None:
        """Write a draft.

        Raises:
            SelfOccError: The folder cannot be written, or the disk is full.
        """
        with _told(path):
            path.write_bytes(content)

    def accept(self, draft: Path, path: Path, record: EngineRecord) -> None:
        """Put an engine and its record in place.

        Raises:
            SelfOccError: The folder cannot be written, or the disk is full.
        """
        new_record = draft.with_name(f'{draft.name}.json')
        try:
            with _told(path):
                new_record.write_text(record.model_dump_json(indent=2) + '\n', encoding='utf-8')
                _record_path(path).unlink(missing_ok=True)
                draft.replace(path)
                new_record.replace(_record_path(path))
        finally:
            with suppress(OSError):
                new_record.unlink(missing_ok=True)
        self._forget_oldest(path)

    def remove(self, path: Path) -> None:
        """Remove an engine, as far as the folder allows."""
        for file in (_record_path(path), path):
            with suppress(OSError):
                file.unlink(missing_ok=True)

    def timing_cache(self, environment: EngineEnvironment) -> bytes:
        """Return what earlier builds for a device measured; nothing if there were none."""
        try:
            return self._timing_path(environment).read_bytes()
        except OSError:
            return b''

    def keep_timing_cache(self, environment: EngineEnvironment, content: bytes) -> None:
        """Keep what a build measured; that there is no space for it is no error."""
        path = self._timing_path(environment)
        draft = path.with_name(f'.{path.name}.{os.getpid()}')
        with suppress(OSError):
            draft.write_bytes(content)
            draft.replace(path)
        with suppress(OSError):
            draft.unlink(missing_ok=True)

    def _timing_path(self, environment: EngineEnvironment) -> Path:
        digest = hashlib.sha256(repr(environment).encode()).hexdigest()[:16]
        return self.folder / f'timing-{digest}.cache'

    def _open_lock(self, path: Path) -> int | None:
        lock = path.with_suffix('.lock')
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if error.errno in _READ_ONLY and self.folder.is_dir():
                return None
            raise _unwritable(path, error) from error

    def _forget_oldest(self, kept: Path) -> None:
        """Remove the engines beyond a number: each export would leave one more.

        Those go first that nobody has asked for the longest.
        """
        with suppress(OSError):
            engines = sorted(self.folder.glob('*.engine'), key=lambda p: p.stat().st_mtime_ns)
            for engine in engines[:-_KEPT_ENGINES]:
                if engine != kept:
                    self.remove(engine)


def _record_path(path: Path) -> Path:
    return path.with_suffix('.json')


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell of files that cannot be written in a sentence."""
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> SelfOccError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return SelfOccError(
            f'there is no space for the engine in {path.parent}: free some, or let XDG_CACHE_HOME '
            'name another folder'
        )
    return SelfOccError(
        f'cannot write the engine cache {path.parent} ({error.strerror}): make it writable, or '
        'let XDG_CACHE_HOME name another folder'
    )
