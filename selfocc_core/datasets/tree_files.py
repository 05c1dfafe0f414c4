"""Files of a dataset, read with bounds: names in its tables may be anything."""

from __future__ import annotations

import io
import json
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_bytes

Number = TypeVar('Number', bound=np.generic)

_MAX_ARRAY_BYTES = 256 * 2**20
_NO_ARRAY = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    KeyError, ValueError, NotImplementedError, RuntimeError, MemoryError,
)  # fmt: skip


def file_in(root: Path, name: str) -> Path | None:
    """Return the file that a table of a tree names, ``None`` if it is not within the tree."""
    try:
        path = (root / name).resolve()
        return path if path.is_relative_to(root.resolve()) and path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # such as a loop of links, or a zero byte
        return None


def read_json(path: Path, what: str) -> Any:
    """Return the content of a JSON file.

    Raises:
        SelfOccError: It is missing, larger than 64 MiB or not JSON.
    """
    try:
        return json.loads(read_bytes(path, what))
    except (ValueError, RecursionError) as error:
        raise SelfOccError(f'{what} {path} is not JSON: unpack it again') from error


def read_records(path: Path, dtype: type[Number], columns: int, what: str) -> NDArray[Number]:
    """Return the rows ``[N, columns]`` of a file of little-endian numbers.

    Raises:
        SelfOccError: It is missing, larger than 64 MiB, or ends within a row.
    """
    content, row_bytes = read_bytes(path, what), columns * np.dtype(dtype).itemsize
    if len(content) % row_bytes:
        raise SelfOccError(f'{what} {path} is truncated: unpack it again')
    values = np.frombuffer(content, np.dtype(dtype).newbyteorder('<')).astype(dtype)
    return values.reshape(-1, columns)


def read_npz_array(path: Path, name: str, what: str) -> NDArray[Any]:
    """Return an array of a ``.npz`` file; nothing in it is run.

    Raises:
        SelfOccError: The file is missing or damaged, or has no such array of numbers, or one of
            more than 256 MiB.
    """
    content = read_bytes(path, what)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = archive.getinfo(f'{name}.npy')
            if member.file_size > _MAX_ARRAY_BYTES:
                raise ValueError(f'{member.file_size} bytes')
            array = io.BytesIO(archive.read(member))
        return np.asarray(np.lib.format.read_array(array, allow_pickle=False))
    except _NO_ARRAY as error:
        raise SelfOccError(
            f'{what} {path} has no readable array "{name}": unpack it again'
        ) from error
