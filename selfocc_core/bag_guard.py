"""What a bag must not be before it is trusted: a trap for who opens it, or larger than memory.

rosbags checks the structure of a bag. It trusts what the bag says of its own size, opens whatever
lies in a bag folder, and lets columns of a database hold anything.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, storage_mcap

from selfocc_core.quoting import shown

try:
    from lz4.frame import LZ4FrameDecompressor
except ImportError:  # where rosbags uses another that has none
    LZ4FrameDecompressor = None

MAX_LIVE_BYTES = 4 * 2**30
"""Chunks of one time are unpacked together, at most so much of them."""

_MAX_METADATA_BYTES = 2**20  # a recording of a day; its parser takes long for more
_MAX_NAME = 512
# Aliases can make a small YAML file endless; no recorder writes any.
_ALIAS = re.compile(r'(?:^|[\s\[{,:-])\*[^\s,\]}]', re.MULTILINE)


class DamagedBagError(Exception):
    """A bag that is not what it says; only for who tells the user of it."""


def check_files(path: Path) -> None:
    """Check that a bag is made of plain files, which can be opened and come to an end.

    Raises:
        DamagedBagError: It is not.
        OSError: It cannot be read.
    """
    if path.is_dir():
        _check_metadata(path / 'metadata.yaml')
    for file in path.iterdir() if path.is_dir() else [path]:
        if not (file.is_file() or file.is_dir()):
            raise DamagedBagError(f'{shown(file.name)} is no file')
        if not os.access(file, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _check_metadata(path: Path) -> None:
    if not path.is_file():
        raise DamagedBagError('it has no metadata.yaml')
    if path.stat().st_size > _MAX_METADATA_BYTES:
        raise DamagedBagError('its metadata.yaml is larger than 1 MiB')
    if _ALIAS.search(path.read_text(encoding='utf-8')):
        raise DamagedBagError('its metadata.yaml has aliases')


def check_index(reader: Reader) -> None:
    """Check what an open bag says of its topics, its times and the chunks of its files.

    Raises:
        DamagedBagError: A topic has no printable name or type, a count or time is no number, or
            chunks overlap, in the file or in time, so that they would not fit into memory.
    """
    for connection in reader.connections:
        _check_connection(connection)
    if not all(isinstance(stamp, int) for stamp in (reader.start_time, reader.end_time)):
        raise DamagedBagError('its times are no numbers')
    for storage in getattr(reader.storage, 'storages', [reader.storage]):
        _check_chunks(getattr(storage, 'chunks', ()))


def _check_connection(connection: Connection) -> None:
    for name in (connection.topic, connection.msgtype):
        if not (isinstance(name, str) and name.isprintable() and 0 < len(name) <= _MAX_NAME):
            raise DamagedBagError('a topic has a name or type that is none')
    if not isinstance(connection.msgcount, int) or connection.msgcount < 0:
        raise DamagedBagError('the number of messages on a topic is none')


def _check_chunks(chunks: Iterable[Any]) -> None:
    """Check the chunks of an MCAP file: at each time those that span it are in memory."""
    events: list[tuple[int, int]] = []
    offsets = set()
    for chunk in chunks:
        if chunk.chunk_start_offset in offsets:
            raise DamagedBagError('its index names a chunk twice')
        offsets.add(chunk.chunk_start_offset)
        if chunk.message_start_time <= chunk.message_end_time:  # else it holds no message
            events.append((chunk.message_start_time, chunk.uncompressed_size))
            events.append((chunk.message_end_time + 1, -chunk.uncompressed_size))
    live_bytes = 0
    for _, change in sorted(events):
        live_bytes += change
        if live_bytes > MAX_LIVE_BYTES:
            raise DamagedBagError('more than 4 GiB of it were recorded at one time')


def check_message(stamp_ns: object, raw: object) -> None:
    """Check what a database has for a message, as its columns may hold anything.

    Raises:
        DamagedBagError: It is no time, or no bytes.
    """
    if not isinstance(stamp_ns, int) or not isinstance(raw, (bytes, memoryview)):
        raise DamagedBagError('a message has no time or no data')


def bound_chunks() -> None:
    """Let chunks unpack to what they say at most: a few kilobytes can become gigabytes."""
    decompressors = getattr(storage_mcap, 'DECOMPRESSORS', {})
    zstd = getattr(storage_mcap, 'zstd', None)  # rosbags 0.11.0 has another, which it bounds
    if zstd is not None:
        decompressors['zstd'] = lambda d, size: _unpacked(zstd.ZstdDecompressor(), d, size)
    if LZ4FrameDecompressor is not None:
        decompressors['lz4'] = lambda d, size: _unpacked(LZ4FrameDecompressor(), d, size)


def _unpacked(decompressor: Any, data: bytes, size: int) -> bytes:
    if size > MAX_LIVE_BYTES:
        raise DamagedBagError('a chunk is larger than 4 GiB')
    content = bytes(decompressor.decompress(data, size + 1))
    if len(content) != size or not decompressor.eof:
        raise DamagedBagError('a chunk is not as large as it says')
    return content
