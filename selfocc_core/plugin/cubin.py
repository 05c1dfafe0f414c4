"""What machine code needs of a GPU, read from the file itself.

A cubin is an ELF file. Its section ``.nv.info`` lists attributes of functions; those used here
are the same in the files of CUDA 12 and 13 (the header's own register field is not).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from selfocc_core.errors import SelfOccError

_ELF64 = b'\x7fELF\x02\x01'
_SECTION = struct.Struct('<IIQQQQIIQQ')
_SYMBOL = struct.Struct('<IBBHQQ')
_REGISTERS, _FRAME = 0x2F, 0x11
_SIZED = 4  # format of an attribute that says its length


@dataclass(frozen=True)
class Resources:
    """What one thread of a kernel takes.

    Attributes:
        registers: 32-bit registers.
        stack_bytes: Local memory for what registers do not hold: spills and local arrays.
    """

    registers: int
    stack_bytes: int


def resources_of(cubin: bytes, kernel: str) -> Resources:
    """Return what a kernel needs.

    Raises:
        SelfOccError: It is no cubin, or it has no such kernel.
    """
    if not cubin.startswith(_ELF64):
        raise SelfOccError('this is no machine code of a GPU: compile the kernel again')
    try:
        sections = _sections(cubin)
        symbol = _symbols(sections).index(kernel)
        found = dict(_attributes(sections['.nv.info'], symbol))
        return Resources(found[_REGISTERS], found[_FRAME])
    except (struct.error, KeyError, IndexError, ValueError) as error:
        raise SelfOccError(
            f'the machine code says nothing about a kernel {kernel}: compile it again'
        ) from error


def _sections(elf: bytes) -> dict[str, bytes]:
    """Return the content of the sections by name."""
    (offset,) = struct.unpack_from('<Q', elf, 40)
    size, count, names = struct.unpack_from('<HHH', elf, 58)
    headers = [_SECTION.unpack_from(elf, offset + index * size) for index in range(count)]
    contents = [elf[header[4] : header[4] + header[5]] for header in headers]
    texts = [_text_at(contents[names], header[0]) for header in headers]
    return dict(zip(texts, contents, strict=True))


def _symbols(sections: dict[str, bytes]) -> list[str]:
    table, strings = sections['.symtab'], sections['.strtab']
    return [_text_at(strings, symbol[0]) for symbol in _SYMBOL.iter_unpack(table)]


def _attributes(info: bytes, symbol: int) -> Iterator[tuple[int, int]]:
    """Yield attributes and values that belong to a function."""
    at = 0
    while at < len(info):
        form, attribute, size = struct.unpack_from('<BBH', info, at)
        at += 4
        if form != _SIZED:
            continue
        if attribute in {_REGISTERS, _FRAME}:
            owner, value = struct.unpack_from('<II', info, at)
            if owner == symbol:
                yield attribute, value
        at += size


def _text_at(strings: bytes, start: int) -> str:
    return strings[start : strings.index(b'\0', start)].decode()
