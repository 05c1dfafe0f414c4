from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfocc_core.datasets import tree_files
from selfocc_core.datasets.tree_files import file_in, read_json, read_npz_array, read_records
from selfocc_core.errors import SelfOccError


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('outside')
    (folder / 'secret').write_text('x')
    (folder / 'root' / 'a').mkdir(parents=True)
    (folder / 'root' / 'a' / 'b').write_text('y')
    (folder / 'root' / 'link').symlink_to(folder / 'secret')
    (folder / 'root' / 'loop').symlink_to(folder / 'root' / 'loop')
    return folder / 'root'


def test_a_file_of_the_tree_is_found(root):
    assert file_in(root, 'a/b').read_text() == 'y'
    assert file_in(root, 'a/../a/./b').read_text() == 'y'


@pytest.mark.parametrize(
    'name',
    [
        '../secret',
        'a/../../secret',
        '/etc/passwd',
        'link',
        'loop',
        'a',
        '',
        '.',
        'a\0b',
        'x' * 999,
    ],
)
def test_whatever_leads_outside_is_no_file(root, name):
    assert file_in(root, name) is None


@given(
    st.lists(st.sampled_from(['..', 'a', 'b', 'secret', '', '.', 'link', '~', '/']), max_size=6)
)
def test_no_name_leads_outside(root, parts):
    found = file_in(root, '/'.join(parts))
    assert found is None or found == (root / 'a' / 'b').resolve()


@pytest.mark.parametrize('content', [b'', b'{', b'\xff\xfe', b'[' * 100_000])
def test_what_is_no_json_is_one_sentence(tmp_path, content):
    path = tmp_path / 'scene.json'
    path.write_bytes(content)
    with pytest.raises(SelfOccError, match=r'scene .*scene\.json is not JSON'):
        read_json(path, 'scene')


def test_records_end_with_a_row(tmp_path):
    path = tmp_path / 'scan.bin'
    np.arange(8, dtype=np.float32).tofile(path)
    assert read_records(path, np.float32, 4, 'scan').tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(SelfOccError, match=r'scan .*scan\.bin is truncated'):
        read_records(path, np.float32, 3, 'scan')


def member(array) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array))
    return stream.getvalue()


def write_zip(path, content: bytes, method=zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, 'w', method) as archive:
        archive.writestr('data.npy', content)


@pytest.mark.parametrize(
    'method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2]
)
def test_arrays_are_read(tmp_path, method):
    write_zip(tmp_path / 'a.npz', member(np.eye(3)), method)
    assert np.array_equal(read_npz_array(tmp_path / 'a.npz', 'data', 'scan'), np.eye(3))


def object_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{}], object), allow_pickle=True)
    return stream.getvalue()


def lying_header() -> bytes:
    return member(np.zeros(100)).replace(b'(100,)', b'(9999999999999,)')[:128] + bytes(800)


@pytest.mark.parametrize(
    'content', [b'', b'noise', member(np.eye(9))[:300], object_array(), lying_header()]
)
def test_damaged_and_hostile_arrays_are_one_sentence(tmp_path, content):
    write_zip(tmp_path / 'a.npz', content)
    with pytest.raises(SelfOccError, match=r'a\.npz has no readable array "data"'):
        read_npz_array(tmp_path / 'a.npz', 'data', 'scan')


def test_what_is_no_archive_is_one_sentence(tmp_path):
    path = tmp_path / 'a.npz'
    path.write_bytes(b'PK\x03\x04 but no more')
    with pytest.raises(SelfOccError, match='no readable array'):
        read_npz_array(path, 'data', 'scan')
    write_zip(path, member(np.eye(3)))
    with pytest.raises(SelfOccError, match='no readable array "other"'):
        read_npz_array(path, 'other', 'scan')
    cut = path.read_bytes()[:-40]
    path.write_bytes(cut)
    with pytest.raises(SelfOccError, match='no readable array'):
        read_npz_array(path, 'data', 'scan')


def test_an_array_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(tree_files, '_MAX_ARRAY_BYTES', 10_000)
    write_zip(tmp_path / 'a.npz', member(np.zeros(10_000)))
    with pytest.raises(SelfOccError, match='no readable array'):
        read_npz_array(tmp_path / 'a.npz', 'data', 'scan')
