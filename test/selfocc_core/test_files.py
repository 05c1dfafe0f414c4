from __future__ import annotations

import hashlib

import pytest

from selfocc_core.errors import SelfOccError
from selfocc_core.files import (
    read_bytes,
    read_text,
    sha256_of,
    temporary_sibling,
    write_atomically,
)


def test_write_replaces_and_leaves_no_temporary(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    write_atomically(path, b'one')
    write_atomically(path, b'two')
    assert path.read_bytes() == b'two'
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_keeps_the_old_content(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')

    def interrupted():
        with temporary_sibling(path) as temporary:
            temporary.write_text('half')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SelfOccError, match='cannot write'):
        write_atomically(tmp_path / 'file' / 'a.txt', b'')


def test_read_bytes_is_bounded(tmp_path):
    path = tmp_path / 'a.png'
    with pytest.raises(SelfOccError, match=r'cannot read image .*a\.png: No such file'):
        read_bytes(path, 'image')
    path.write_bytes(b'abc')
    assert read_bytes(path, 'image') == b'abc'
    with path.open('r+b') as stream:
        stream.truncate(64 * 2**20 + 1)
    with pytest.raises(SelfOccError, match=r'image .*a\.png is larger than 64 MiB'):
        read_bytes(path, 'image')


def test_read_text_is_bounded(tmp_path):
    path = tmp_path / 'rig.yaml'
    path.write_bytes(b'\xff\xfe\xff')
    with pytest.raises(SelfOccError, match=r'rig file .* is not a text file'):
        read_text(path, 'rig file')
    path.write_bytes(b'a' * (4 * 2**20 + 1))
    with pytest.raises(SelfOccError, match='larger than 4 MiB'):
        read_text(path, 'rig file')
    with pytest.raises(SelfOccError, match='cannot read rig file'):
        read_text(tmp_path, 'rig file')


def test_sha256(tmp_path):
    path = tmp_path / 'a'
    path.write_bytes(b'x' * 3_000_000)
    assert sha256_of(path) == hashlib.sha256(b'x' * 3_000_000).hexdigest()
