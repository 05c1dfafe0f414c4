"""NVIDIA's run-time compiler: CUDA C++ to machine code of one GPU, without a GPU at hand.

It comes with every CUDA (on a Jetson: with JetPack) and as NVIDIA's wheels
``nvidia-cuda-nvrtc-cu12`` (CUDA 12) and ``nvidia-cuda-nvrtc`` (CUDA 13). Several may be installed
side by side; each is loaded for itself.
"""

from __future__ import annotations

import ctypes
import functools
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path

from selfocc_core.errors import SelfOccError

_SYSTEM_FOLDERS = ('/usr/local/cuda/lib64', '/usr/local/cuda/targets/aarch64-linux/lib')
_WHEEL_PATTERNS = ('nvidia/cuda_nvrtc/lib/libnvrtc.so.*', 'nvidia/cu[0-9]*/lib/libnvrtc.so.*')
_SONAMES = tuple(f'libnvrtc.so.{major}' for major in (12, 13))
_OPTIONS = ('--std=c++17', '--restrict')
_ARCH = re.compile(r'sm_(\d+)[af]?')


@dataclass(frozen=True)
class Compiled:
    """What a compiler made.

    Attributes:
        cubin: Machine code of one GPU, an ELF file.
        assembly: The same before registers were assigned (PTX).
        log: What the compiler said.
    """

    cubin: bytes
    assembly: str
    log: str


class Compiler:
    """One libnvrtc.

    Args:
        library: Path of the library, or a name that the system's loader knows.

    Raises:
        SelfOccError: It cannot be loaded or is no NVRTC.
    """

    def __init__(self, library: str) -> None:
        self.library = library
        try:
            _load_builtins(library)
            self._nvrtc = ctypes.CDLL(library)
            self._declare()
            self.version = self._version()
            self._capabilities = self._supported()
        except (OSError, AttributeError) as error:
            raise SelfOccError(f'cannot use the compiler {library}: {error}') from error

    @property
    def major(self) -> int:
        """The CUDA that it comes from; drivers of an earlier one refuse its machine code."""
        return int(self.version.partition('.')[0])

    def supports(self, arch: str) -> bool:
        """Return whether it compiles for an architecture such as ``sm_87``."""
        match = _ARCH.fullmatch(arch)
        return match is not None and int(match[1]) in self._capabilities

    def compile(self, source: str, arch: str) -> bytes:
        """Compile a text that includes nothing, and return the machine code.

        Args:
            source: CUDA C++.
            arch: The GPU, for example ``sm_87``.

        Raises:
            SelfOccError: The source or the architecture is refused; with what the compiler said.
        """
        with self._compiled(source, arch) as program:
            return self._read(program, 'CUBIN')

    def explain(self, source: str, arch: str, *options: str) -> Compiled:
        """Compile a text, and return with the machine code what it was made from.

        Args:
            source: CUDA C++.
            arch: The GPU, for example ``sm_87``.
            options: Further options of NVRTC.

        Raises:
            SelfOccError: The source or the architecture is refused; with what the compiler said.
        """
        with self._compiled(source, arch, *options) as program:
            cubin, assembly = self._read(program, 'CUBIN'), self._text(program, 'PTX')
            return Compiled(cubin, assembly, self._text(program, 'ProgramLog'))

    @contextmanager
    def _compiled(self, source: str, arch: str, *options: str) -> Iterator[c_void_p]:
        """Yield the program of a text, which is gone afterwards."""
        program = c_void_p()
        name = b'selfocc.cu'
        self._call('nvrtcCreateProgram', byref(program), source.encode(), name, 0, None, None)
        try:
            self._compile(program, (f'--gpu-architecture={arch}', *_OPTIONS, *options), arch)
            yield program
        finally:
            self._nvrtc.nvrtcDestroyProgram(byref(program))

    def _compile(self, program: c_void_p, options: tuple[str, ...], arch: str) -> None:
        values = (c_char_p * len(options))(*(option.encode() for option in options))
        if self._nvrtc.nvrtcCompileProgram(program, len(options), values) != 0:
            log = self._text(program, 'ProgramLog')
            raise SelfOccError(f'NVRTC {self.version} cannot compile a kernel for {arch}:\n{log}')

    def _text(self, program: c_void_p, what: str) -> str:
        return self._read(program, what).decode(errors='replace').rstrip('\0\n')

    def _read(self, program: c_void_p, what: str) -> bytes:
        size = c_size_t()
        self._call(f'nvrtcGet{what}Size', program, byref(size))
        content = ctypes.create_string_buffer(size.value)
        self._call(f'nvrtcGet{what}', program, content)
        return content.raw

    def _call(self, function: str, *arguments: object) -> None:
        status = getattr(self._nvrtc, function)(*arguments)
        if status != 0:
            reason = self._nvrtc.nvrtcGetErrorString(status).decode()
            raise SelfOccError(f'{function} of NVRTC {self.version} failed: {reason}')

    def _declare(self) -> None:
        """Say what the functions take where it is not a pointer already."""
        nvrtc = self._nvrtc
        nvrtc.nvrtcGetErrorString.restype = c_char_p
        nvrtc.nvrtcCreateProgram.argtypes = [
            c_void_p, c_char_p, c_char_p, c_int, c_void_p, c_void_p]  # fmt: skip
        nvrtc.nvrtcCompileProgram.argtypes = [c_void_p, c_int, POINTER(c_char_p)]

    def _version(self) -> str:
        major, minor = c_int(), c_int()
        self._nvrtc.nvrtcVersion(byref(major), byref(minor))
        return f'{major.value}.{minor.value}'

    def _supported(self) -> tuple[int, ...]:
        count = c_int()
        self._call('nvrtcGetNumSupportedArchs', byref(count))
        capabilities = (c_int * count.value)()
        self._call('nvrtcGetSupportedArchs', capabilities)
        return tuple(capabilities)


def _load_builtins(library: str) -> None:
    """Load what the compiler later asks the loader for by name; that may not look beside it."""
    if '/' in library:
        for builtins in Path(library).parent.glob('libnvrtc-builtins.so.*'):
            ctypes.CDLL(str(builtins))


@functools.lru_cache(maxsize=64)
def compile_cubin(source: str, arch: str, driver: tuple[int, int] | None = None) -> bytes:
    """Compile a text that includes nothing, with the compiler that fits GPU and driver.

    Args:
        source: CUDA C++.
        arch: The GPU, for example ``sm_87``.
        driver: As :func:`compiler_for` takes it.

    Returns:
        The machine code ("cubin").

    Raises:
        SelfOccError: There is no compiler for this GPU and driver, or it refuses the source.
    """
    return compiler_for(arch, driver).compile(source, arch)


def compiler_for(arch: str, driver: tuple[int, int] | None = None) -> Compiler:
    """Return the first compiler that knows a GPU, and whose machine code its driver loads.

    The system's compiler comes first, because it fits the driver; then the oldest, because older
    machine code runs under newer drivers and not the other way round.

    Args:
        arch: The GPU, for example ``sm_87``.
        driver: Newest CUDA that the driver knows, major and minor; ``None`` where nothing shall be
            loaded.

    Raises:
        SelfOccError: There is none.
    """
    others = []
    for compiler in find_compilers():
        if driver is not None and compiler.major > driver[0]:
            others.append(f'NVRTC {compiler.version}, too new for a driver of CUDA {driver[0]}')
        elif compiler.supports(arch):
            return compiler
        else:
            others.append(f'NVRTC {compiler.version}')
    found = '; '.join(others) or 'none'
    raise SelfOccError(
        f"no CUDA compiler for {arch} (found: {found}): install CUDA's libnvrtc, or the wheel "
        'nvidia-cuda-nvrtc-cu12 (CUDA 12) or nvidia-cuda-nvrtc (CUDA 13)'
    )


def find_compilers() -> Iterator[Compiler]:
    """Yield the compilers that load: of the system, then of wheels, old ones first."""
    for library in (*_SONAMES, *_in_folders(), *_in_wheels()):
        try:
            yield Compiler(library)
        except SelfOccError:
            continue


def _in_folders() -> Iterator[str]:
    for folder in _SYSTEM_FOLDERS:
        yield from (str(path) for path in sorted(Path(folder).glob('libnvrtc.so.[0-9][0-9]')))


def _in_wheels() -> list[str]:
    found = {
        path.resolve()
        for folder in filter(None, sys.path)
        for pattern in _WHEEL_PATTERNS
        for path in Path(folder).glob(pattern)
        if '.alt.' not in path.name
    }
    return [str(path) for path in sorted(found, key=lambda path: path.name)]
