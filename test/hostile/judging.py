"""What may come of a hostile input, and what may not."""

from __future__ import annotations

import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from selfocc_core.errors import SelfOccError

LONGEST_SENTENCE = 2000
LONGEST_CPU_S = 30.0
LARGEST_GROWTH_MIB = 600

# What no reader of data does: run other programs, unpickle, connect.
_FORBIDDEN = (
    *('pickle.find_class', 'os.system', 'os.exec', 'os.posix_spawn', 'os.spawn', 'os.fork'),
    *('subprocess.Popen', 'socket.connect'),
)
_CHANGES = ('os.mkdir', 'os.rename', 'os.link', 'os.symlink', 'os.remove', 'os.rmdir', 'os.chmod')
_HEARD = frozenset((*_FORBIDDEN, *_CHANGES, 'open'))


class Audit:
    """Notes what Python does to files outside of a folder, and what a reader must never do."""

    def __init__(self, root: Path) -> None:
        self._root, self.offences = f'{root}{os.sep}', list[str]()
        self.is_on = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.is_on or event not in _HEARD or _is_compiler():
            return
        if event in _FORBIDDEN:
            self.offences.append(f'{event}{arguments!r:.200}')
        elif event == 'open' and _writes(arguments):
            self._check(event, arguments[0])
        elif event in _CHANGES:
            self._check(event, arguments[1] if event in {'os.rename', 'os.link'} else arguments[0])

    def _check(self, event: str, path: object) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  links are not followed
        if not name.startswith(self._root) and not name.startswith('/dev/'):
            self.offences.append(f'{event} {name}')


def _is_compiler() -> bool:
    """Return whether numba is at work: it keeps what it compiled beside the code, as pickles."""
    frame = sys._getframe()
    while frame is not None:
        if f'{os.sep}numba{os.sep}' in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _writes(arguments: tuple[object, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return bool(set(mode) & set('wax+'))
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


@dataclass
class Judge:
    """Lets a case try entry points and notes what is wrong with how they end.

    Attributes:
        names: What a refusal must name, one of them: the file, or the thing in it.
        wrong: What went wrong.
        sentences: In which words entry points refused.
    """

    names: tuple[str, ...] = ()
    wrong: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    @property
    def refusals(self) -> int:
        """How many entry points refused."""
        return len(self.sentences)

    @contextmanager
    def entry(self, what: str, *names: str) -> Iterator[None]:
        """Run an entry point, which may end well or in a sentence."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            try:
                yield
            except SelfOccError as error:
                self._read(what, str(error), (*self.names, *names))
            except Exception as error:
                self.wrong.append(f'{what}: {told(error)}')
        for warning in caught:
            if not issubclass(warning.category, (DeprecationWarning, ResourceWarning)):
                self.wrong.append(
                    f'{what}: {warning.category.__name__} {warning.message} '
                    f'({Path(warning.filename).name}:{warning.lineno})'
                )

    def command(self, arguments: list[str]) -> None:
        """Run ``selfocc``, which may end well or with one line on stderr."""
        from io import StringIO

        from selfocc_core.cli import main

        stdout, stderr = sys.stdout, sys.stderr
        out, err = StringIO(), StringIO()
        what = f'selfocc {arguments[0]}'
        with self.entry(what):
            sys.stdout, sys.stderr = out, err
            try:
                status = main(arguments)
            except SystemExit as error:
                status = int(error.code) if isinstance(error.code, int) else 1
            finally:
                sys.stdout, sys.stderr = stdout, stderr
            self._read_streams(what, status, out.getvalue(), err.getvalue())

    def _read_streams(self, what: str, status: int, out: str, err: str) -> None:
        if 'Traceback' in out + err:
            self.wrong.append(f'{what}: prints a traceback')
        if status == 0:
            return
        lines = [line for line in err.splitlines() if line and not _is_progress(line)]
        if status not in {1, 2} or len(lines) != 1 or not lines[0].startswith(f'{what}: '):
            self.sentences.append(err)
            self.wrong.append(f'{what}: status {status} with stderr {err!r:.600}')
            return
        self._read(what, lines[0], self.names)

    def _read(self, what: str, sentence: str, names: tuple[str, ...]) -> None:
        self.sentences.append(sentence)
        if not sentence.isprintable():
            self.wrong.append(f'{what}: is not one printable line: {sentence!r:.400}')
        if len(sentence) > LONGEST_SENTENCE:
            self.wrong.append(f'{what}: has {len(sentence)} characters: {sentence:.200}')
        if names and not any(name in sentence for name in names):
            self.wrong.append(f'{what}: names none of {names}: {sentence:.400}')


def _is_progress(line: str) -> bool:
    """Return whether a line says how far work has come, which is no error."""
    return line.startswith(('Reading ', 'Logging ', 'Labelling ', 'Evaluating')) and line.endswith(
        ')'
    )


def told(error: BaseException) -> str:
    """Return in one line what was raised, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f'{Path(f.filename).name}:{f.lineno}' for f in frames]
    ours = [p for p, f in zip(places, frames, strict=True) if _is_ours(f.filename)]
    text = ' '.join(f'{type(error).__name__}: {error}'.split())
    return f'{text:.300} ({" < ".join([*reversed(ours[-3:]), places[-1]])})'


def _is_ours(file: str) -> bool:
    return any(f'/{package}/' in file for package in ('selfocc_core', 'selfocc_ros', 'training'))


def judged(case: Callable[[Judge], None], judge: Judge, audit: Audit) -> list[str]:
    """Run a case and return all that is wrong with how it ended."""
    cpu_s, peak_kib = time.process_time(), _forgotten_peak_kib()
    audit.offences.clear()
    audit.is_on = True
    try:
        case(judge)
    except BaseException as error:  # of the case itself, or what no entry point may raise
        judge.wrong.append(f'case: {told(error)}')
    finally:
        audit.is_on = False
    judge.wrong += [f'does what no reader does: {offence}' for offence in audit.offences]
    cpu_s, grown_mib = time.process_time() - cpu_s, (_peak_kib() - peak_kib) / 1024
    if cpu_s > LONGEST_CPU_S:
        judge.wrong.append(f'takes {cpu_s:.0f} s of the processor')
    if grown_mib > LARGEST_GROWTH_MIB:
        judge.wrong.append(f'takes {grown_mib:.0f} MiB of memory')
    return judge.wrong


def _forgotten_peak_kib() -> int:
    """Forget what the process took at most so far, as far as that is possible; return the rest."""
    with suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')
    return _peak_kib()


def _peak_kib() -> int:
    """Return what the process took at most; ``getrusage`` would count who started it, too."""
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0])
