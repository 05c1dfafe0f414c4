"""What hostile inputs once did, one test for each; it must not come back."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from bag_cases import laughs, record_of
from image_cases import jpeg, picture, png
from refusal import refused
from small_recording import PERIOD_NS, START_NS, drive, entry, write, write_quickly

from selfocc_core import bag_guard
from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagReader
from selfocc_core.cameras import Rig, nuscenes_like_rig
from selfocc_core.cli import main
from selfocc_core.evaluation.recording import read_recording
from selfocc_core.files import read_bytes, read_json, read_text, sha256_of, write_atomically
from selfocc_core.image_decoding import decode_image_file
from selfocc_core.quoting import shown
from selfocc_core.rig_from_bag import rig_from_bag
from selfocc_core.trajectory_from_bag import trajectory_from_bag


def decoded(data):
    return decode_image_file(np.frombuffer(data, np.uint8))


# Images.


@pytest.mark.parametrize('data', [png(30000, 30000), jpeg(30000, 30000)])
def test_no_room_is_made_for_what_a_header_says(monkeypatch, data):
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('gigabytes were asked for'))
    assert decoded(data) is None


def test_no_room_is_made_for_what_a_chunk_says(monkeypatch):
    data = bytearray(picture('png'))
    struct.pack_into('>I', data, data.index(b'IDAT') - 4, 2**30)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('gigabytes were asked for'))
    assert decoded(bytes(data)) is None


def test_scans_beyond_reason_are_not_decoded(monkeypatch):
    data = picture('jpeg-progressive')
    assert decoded(data) is not None
    scan = b'\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10\x00'
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it would take for ever'))
    assert decoded(data[:-2] + scan * 1000 + data[-2:]) is None


def test_bytes_like_scans_in_a_picture_are_no_scans():
    data = picture('jpeg')
    comment = b'\xff\xda' * 1000
    segment = b'\xff\xfe' + struct.pack('>H', 2 + len(comment)) + comment
    assert decoded(data[:2] + segment + data[2:]) is not None


@pytest.mark.parametrize('suffix', ['.hdr', '.tiff', '.bmp', '.ppm'])
def test_only_what_cameras_send_is_decoded(monkeypatch, suffix):
    data = bytes(cv2.imencode(suffix, np.zeros((8, 8, 3), np.float32))[1])
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it was tried'))
    assert decoded(data) is None


def test_large_pictures_are_still_decoded():
    noise = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8)
    for suffix in ('.png', '.jpg'):
        assert decoded(bytes(cv2.imencode(suffix, noise)[1])).shape == noise.shape


# Files.


@pytest.mark.parametrize('read', [read_text, read_bytes, read_json])
def test_a_pipe_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / 'rig.yaml')
    refused(lambda: read(tmp_path / 'rig.yaml', 'rig file'), 'rig.yaml', 'no plain file')


def test_a_device_is_not_read_to_its_end():
    refused(lambda: read_bytes(Path('/dev/zero'), 'image'), 'no plain file')


def test_a_file_that_grows_is_read_to_the_limit_alone(tmp_path, monkeypatch):
    path = tmp_path / 'a.txt'
    path.write_bytes(bytes(5 * 2**20))
    small = os.stat_result((*path.stat()[:6], 1, *path.stat()[7:]))
    monkeypatch.setattr(Path, 'stat', lambda *_, **__: small)
    refused(lambda: read_text(path, 'text'), 'larger than 4 MiB')


def test_a_name_that_no_file_can_have_is_refused():
    refused(lambda: read_text(Path('a\0b'), 'text'), r'a\x00b')
    refused(lambda: read_text(Path('x' * 5000), 'text'), 'File name too long')
    refused(lambda: write_atomically(Path('x' * 5000, 'a'), b''), 'cannot write')


def test_a_hash_of_what_cannot_be_read_is_refused(tmp_path):
    refused(lambda: sha256_of(tmp_path / 'none'), 'none', 'No such file')


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', full)
    refused(lambda: write_atomically(tmp_path / 'a.png', b''), 'a.png', 'No space left')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'text', ['[' * 10**5, '{"a":' * 10**5, '9' * 10**5, '{', '\ufeff{}', '"\\ud8'], ids=range(6)
)
def test_json_that_is_none_is_refused(tmp_path, text):
    (tmp_path / 'a.json').write_text(text)
    refused(lambda: read_json(tmp_path / 'a.json', 'description'), 'a.json', 'is not JSON')


@pytest.mark.parametrize('text', ['two\nlines', '\x1b[31m', '\u202e', 'x' * 10**6, '\ud800', '\0'])
def test_what_is_repeated_is_printable_and_short(text):
    assert shown(text).isprintable()
    assert len(shown(text)) < 2500
    assert shown('camera_front') == 'camera_front'


# Rig files and cards.


@pytest.mark.parametrize(
    'value',
    ['9' * 10**4, '2001-99-99', ':'.join(['59'] * 1000) + '.5', '[' * 10**4, '!!binary "!"'],
    ids=['integer', 'date', 'sexagesimal', 'lists', 'binary'],
)
def test_a_value_that_is_none_is_no_yaml(tmp_path, value):
    (tmp_path / 'rig.yaml').write_text(f'cameras: {value}')
    refused(lambda: Rig.from_yaml(tmp_path / 'rig.yaml'), 'rig.yaml')


def test_a_key_of_two_lines_is_told_on_one(tmp_path):
    (tmp_path / 'rig.yaml').write_text('"a\\nb": 1\ncameras: []')
    refused(lambda: Rig.from_yaml(tmp_path / 'rig.yaml'), r'a\nb')


def test_yaml_that_would_take_minutes_is_not_parsed(tmp_path, monkeypatch):
    (tmp_path / 'rig.yaml').write_text('cameras:\n' + '- a\n' * 10**5)
    monkeypatch.setattr(yaml, 'safe_load', lambda _: pytest.fail('it was parsed'))
    refused(lambda: Rig.from_yaml(tmp_path / 'rig.yaml'), 'larger than 256 KiB')


def test_the_largest_rig_can_be_read(tmp_path):
    from dataclasses import replace

    camera = nuscenes_like_rig()['front']
    lens = {'distortion_model': 'rational_polynomial', 'distortion': (0.123456789012345,) * 14}
    rig = Rig(tuple(replace(camera, name=f'camera_{n}', **lens) for n in range(64)))
    rig.to_yaml(tmp_path / 'rig.yaml')
    assert Rig.from_yaml(tmp_path / 'rig.yaml').content_hash == rig.content_hash


@pytest.mark.parametrize('field', ['quaternion_xyzw', 'translation_m'])
def test_numbers_that_overflow_are_no_mounting(tmp_path, recwarn, field):
    path = tmp_path / 'rig.yaml'
    nuscenes_like_rig().to_yaml(path)
    tree = yaml.safe_load(path.read_text())
    tree['cameras'][0]['ego_from_camera'][field][0] = 1e308
    path.write_text(yaml.safe_dump(tree))
    refused(lambda: Rig.from_yaml(path), 'rig.yaml')
    assert not recwarn.list


# Bags.


def as_bag(tmp_path, entries):
    return write_quickly(tmp_path / 'drive.mcap', entries)


def test_an_index_that_names_a_chunk_twice_is_refused(tmp_path):
    path = write(tmp_path / 'drive.mcap', drive())
    data = path.read_bytes()
    begin, size = record_of(data, 0x08)
    path.write_bytes(data[:begin] + data[begin : begin + size] * 2 + data[begin + size :])
    refused(BagReader(path).__enter__, 'drive.mcap', 'chunk twice')


@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
def test_a_chunk_is_not_unpacked_beyond_what_it_says(compression):
    from backports import zstd
    from lz4 import frame
    from rosbags.rosbag2 import storage_mcap

    unpack = storage_mcap.DECOMPRESSORS[compression]
    compress = {'zstd': zstd.compress, 'lz4': frame.compress}[compression]
    content = bytes(10**6)
    assert unpack(compress(content), len(content)) == content
    for size in (0, 10, len(content) - 1, len(content) + 1, 2**40):
        with pytest.raises(bag_guard.DamagedBagError):
            unpack(compress(content), size)


def test_more_than_the_memory_at_one_time_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / 'drive.mcap', drive())
    monkeypatch.setattr(bag_guard, 'MAX_LIVE_BYTES', 100)
    refused(BagReader(path).__enter__, 'drive.mcap', 'at one time')


def test_chunks_one_after_the_other_may_be_larger_than_the_memory(tmp_path, monkeypatch):
    image = entry('/camera/front/image', _image(2**19), START_NS)
    entries = [image._replace(stamp_ns=START_NS + n * PERIOD_NS) for n in range(12)]
    path = write(tmp_path / 'drive.mcap', entries)
    monkeypatch.setattr(bag_guard, 'MAX_LIVE_BYTES', 3 * 2**20)
    with BagReader(path) as bag:
        assert sum(1 for _ in bag.messages()) == 12


def _image(size):
    return messages.raw_image(np.zeros((1, size), np.uint8), START_NS, 'camera')


def test_messages_that_are_not_there_are_missed(tmp_path):
    """A chunk whose records are damaged ends early: what is behind would be lost silently."""
    path = write(tmp_path / 'drive.mcap', drive())
    data = bytearray(path.read_bytes())
    first = data.index(b'\x05', data.index(b'\x04'))
    while struct.unpack_from('<Q', data, first + 1)[0] > 10**4:
        first = data.index(b'\x05', first + 1)
    struct.pack_into('<Q', data, first + 1, 2**31)
    path.write_bytes(data)
    with BagReader(path) as bag:
        refused(lambda: list(bag.messages()), 'drive.mcap')
    refused(lambda: rig_from_bag(path), 'drive.mcap')


@pytest.mark.parametrize('topic', ['/camera/\x1b[31m/image', '/a\nb', '/\u202e', '/' + 'x' * 5000])
def test_a_topic_that_cannot_be_printed_is_damage(tmp_path, topic):
    path = as_bag(tmp_path, [e._replace(topic=topic) for e in drive()])
    refused(BagReader(path).__enter__, 'drive.mcap', 'a topic has a name or type that is none')


def test_transforms_of_another_type_are_told(tmp_path):
    stamp_ns, topic = START_NS - PERIOD_NS, '/tf_static'
    text = entry(topic, messages.message_type('std_msgs/msg/String')('hello'), stamp_ns)
    path = as_bag(tmp_path, [text, *(e for e in drive() if e.topic != topic)])
    refused(lambda: rig_from_bag(path), 'drive.mcap', topic, 'std_msgs/msg/String')


@pytest.mark.parametrize('topic', ['/odometry', '/tf'])
def test_a_motion_of_another_type_is_told(tmp_path, topic):
    text = entry(topic, messages.message_type('std_msgs/msg/String')('hello'), START_NS)
    others = [e for e in drive() if e.topic not in {'/odometry', '/tf'}]
    entries = sorted([text, *others], key=lambda e: e.stamp_ns)
    with BagReader(as_bag(tmp_path, entries)) as bag:
        refused(lambda: trajectory_from_bag(bag), 'drive.mcap', topic)


def test_poses_beyond_all_numbers_are_none(tmp_path, recwarn):
    far = messages.odometry('odom', np.eye(4), (0, 0, 0), (0, 0, 0), START_NS)
    far.pose.pose.position.x = 1e300
    entries = [entry('/odometry', far, START_NS)]
    with BagReader(as_bag(tmp_path, entries)) as bag:
        refused(lambda: trajectory_from_bag(bag), 'drive.mcap', 'is no pose')
    assert not recwarn.list


def folder_bag(tmp_path, change):
    from bag_cases import _write_folder
    from rosbags.rosbag2 import StoragePlugin

    path = _write_folder(tmp_path, StoragePlugin.MCAP)
    metadata = path / 'metadata.yaml'
    metadata.write_text(change(metadata.read_text()))
    return path


def test_aliases_in_metadata_are_not_written_out(tmp_path):
    def change(text):
        text = text.replace("compression_format: ''", 'compression_format: *i')
        return laughs() + text.replace("compression_mode: ''", 'compression_mode: message')

    refused(BagReader(folder_bag(tmp_path, change)).__enter__, 'drive', 'aliases')


def test_a_count_that_is_text_is_damage(tmp_path):
    path = folder_bag(
        tmp_path, lambda text: text.replace('message_count: 2', 'message_count: "2"')
    )
    refused(BagReader(path).__enter__, 'drive')


def test_metadata_that_trips_rosbags_when_it_is_closed_is_well_closed(tmp_path):
    def change(text):
        tree = yaml.safe_load(text)
        tree['rosbag2_bagfile_information']['files'] = 'none'
        return yaml.safe_dump(tree)

    with BagReader(folder_bag(tmp_path, change)) as bag:
        assert bag.count() > 0


@pytest.mark.parametrize('name', ['metadata.yaml', 'drive.mcap'])
def test_a_pipe_in_a_bag_is_not_waited_for(tmp_path, name):
    path = folder_bag(tmp_path, str)
    (path / name).unlink()
    os.mkfifo(path / name)
    refused(BagReader(path).__enter__, 'drive')


def test_a_recording_of_another_type_is_told(tmp_path):
    kinds = {e.topic: e.type for e in drive()}
    names = {'/surround/front/depth/image': '/surround/front/depth/camera_info'}
    swapped = names | {new: old for old, new in names.items()}
    entries = [e._replace(topic=swapped.get(e.topic, e.topic)) for e in drive()]
    assert set(swapped) <= set(kinds)
    path = as_bag(tmp_path, entries)
    refused(lambda: read_recording(path), 'drive.mcap', '/surround/front/depth/')


def test_a_cloud_without_coordinates_is_told(tmp_path):
    cloud = messages.point_cloud({'label': np.zeros(3, np.uint8)}, START_NS, 'base_link')
    path = as_bag(tmp_path, [entry('/surround/occupancy/points', cloud, START_NS)])
    refused(lambda: read_recording(path), 'drive.mcap', 'no field x')


def test_frames_with_odd_names_are_told_on_one_line():
    image = messages.raw_image(np.zeros((2, 2), np.float32), 0, 'a\nb\x1b[31m' + 'x' * 10**4)
    refused(lambda: messages.decode_image(image), r'a\nb')


# Pictures of drives.


def test_one_camera_makes_a_picture(tmp_path, capsys):
    entries = [e for e in drive(4) if 'front_right' not in e.topic]
    path = as_bag(tmp_path, entries)
    out = tmp_path / 'moment.png'
    assert main(['view', str(path), '--recording', str(path), '--png', str(out)]) == 0
    assert cv2.imread(str(out)).shape[1] == 1600
    assert capsys.readouterr().err == ''


# Models.


def golden_of(tmp_path, header):
    from selfocc_core.engine import golden

    array = b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode()
    path = tmp_path / 'model.golden.npz'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('images.npy', array)
    return lambda: golden._read(path)


@pytest.mark.parametrize(
    'header', ["{'descr': '", '{{}: 1}', '(' * 5000, " {'descr': '|u1'}\n  {", "{'descr': '|O'}"]
)
def test_headers_of_arrays_may_be_anything(tmp_path, header):
    refused(golden_of(tmp_path, header), 'model.golden.npz', 'is damaged')


_LOADS = """
import os, sys
from pathlib import Path
from selfocc_core.backends.onnxruntime import import_runtime
import_runtime()
"""


def test_the_runtime_leaves_nothing_in_the_users_folders(tmp_path):
    """ONNX Runtime notes every process in ~/.cache, and reports it, unless it is told not to."""
    folders = {name: str(tmp_path / name) for name in ('HOME', 'XDG_CACHE_HOME', 'TMPDIR')}
    for folder in folders.values():
        Path(folder).mkdir()
    kept = {k: v for k, v in os.environ.items() if k != 'ORT_DISABLE_TELEMETRY'}
    run = subprocess.run(
        [sys.executable, '-c', _LOADS], env=kept | folders, check=False, capture_output=True
    )
    assert run.returncode == 0, run.stderr
    assert [path for path in tmp_path.rglob('*') if path.name not in folders] == []


def test_a_loop_without_end_is_ended(tmp_path, monkeypatch):
    from judging import Judge
    from model_cases import _with_loop

    from selfocc_core.backends import onnxruntime

    monkeypatch.setattr(onnxruntime, 'LONGEST_RUN_S', 0.3)
    judge = Judge()
    _with_loop(2**40, tmp_path).run(judge)
    assert judge.refusals == 1
    assert judge.wrong == []
    # Timers of runs that ended do not stay.
    assert not [t for t in threading.enumerate() if isinstance(t, threading.Timer)]


def test_a_model_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    from mock_model import write_mock_model

    from selfocc_core.model_card import ModelCard

    path = write_mock_model(tmp_path / 'model.onnx', cameras=1, height=8, width=16)
    opened = Path.open

    def forbidden(self, *arguments, **options):
        if self == path:
            raise PermissionError(errno.EACCES, 'Permission denied')
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, 'open', forbidden)
    refused(lambda: ModelCard.load_for(path), 'model.onnx', 'Permission denied')
