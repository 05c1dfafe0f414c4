"""Recordings: MCAP, sqlite3, bag folders, and the messages in them."""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

from case import Case, Families, Family, listed, sound
from judging import Judge
from mutation import WEIRD_TEXT, Field, spoilt_bytes, spoilt_text, spoilt_tree
from rosbags.rosbag2 import StoragePlugin, Writer
from small_recording import (
    PERIOD_NS,
    RIG,
    START_NS,
    Entry,
    drive,
    read_all,
    slim_drive,
    write,
    write_quickly,
)

from selfocc_core.bag_messages import typestore
from selfocc_core.bags import BagReader
from selfocc_core.rig_from_bag import rig_from_bag
from selfocc_core.trajectory_from_bag import trajectory_from_bag

Entries = Sequence[Entry]


def reading(words: str, path: Path) -> Case:
    return Case(words, lambda judge: read_all(path, judge), (path.name,))


def _spoilt_mcap(compress: bool, number: int, random: Random, folder: Path) -> Case:
    data = template('mcap', folder, lambda path: write(path, slim_drive(), compress), compress)
    fields = mcap_fields(data) if number % 3 else ()
    words, spoilt = spoilt_bytes(data, random, fields)
    path = folder / 'drive.mcap'
    path.write_bytes(spoilt)
    return reading(words, path)


_TEMPLATES: dict[object, bytes] = {}


def template(suffix: str, folder: Path, make: Callable[[Path], Any], *key: object) -> bytes:
    """Return the bytes of a sound file, made once."""
    place = (suffix, *key)
    if place not in _TEMPLATES:
        path = folder / f'template.{suffix}'
        make(path)
        _TEMPLATES[place] = path.read_bytes()
        path.unlink()
    return _TEMPLATES[place]


def mcap_fields(data: bytes) -> list[Field]:
    """Return where the lengths, offsets, counts and times of an MCAP file lie."""
    fields: list[Field] = []
    _walk(data, 8, len(data) - 8, fields)
    return fields


def _walk(data: bytes, place: int, end: int, fields: list[Field]) -> None:
    while place + 9 <= end:
        kind, (size,) = data[place], struct.unpack_from('<Q', data, place + 1)
        body = place + 9
        fields += [(place, 1), (place + 1, 8)]
        if kind == 0x05:  # message: channel, sequence, two times
            fields += [(body, 2), (body + 2, 4), (body + 6, 8), (body + 14, 8)]
        elif kind == 0x06:  # chunk: two times, size, checksum, compression, size
            fields += [(body, 8), (body + 8, 8), (body + 16, 8), (body + 24, 4), (body + 28, 4)]
            (name,) = struct.unpack_from('<I', data, body + 28)
            fields.append((body + 32 + name, 8))
            if not name:
                _walk(data, body + 40, body + size, fields)
        else:
            fields += [(body + offset, 4) for offset in range(0, min(size, 64) - 3, 2)]
            fields += [(body + offset, 8) for offset in range(0, min(size, 64) - 7, 2)]
        place = body + size


def _spoilt_message(number: int, random: Random, folder: Path) -> Case:
    entries, place = list(drive()), random.randrange(len(drive()))
    spoilt = entries[place]
    words, raw = spoilt_bytes(spoilt.raw, random, _aligned(spoilt.raw) if number % 2 else ())
    entries[place] = spoilt._replace(raw=raw)
    path = write_quickly(folder / 'drive.mcap', entries)
    return Case(
        f'{spoilt.topic}: {words}',
        lambda judge: read_all(path, judge),
        (path.name, spoilt.topic),
    )


def _aligned(raw: bytes) -> list[Field]:
    return [(place, 4) for place in range(4, min(len(raw), 200) - 3, 4)]


def _disordered(number: int, random: Random, folder: Path) -> Case:
    """Return a drive whose messages are shuffled, doubled, lost, or stamped by a broken clock."""
    entries = list(drive())
    words = disorder(entries, random)
    # Without an index, messages must lie in the order of recording.
    path = (write_quickly if number % 4 else write)(folder / 'drive.mcap', entries)
    return reading(words, path)


def disorder(entries: list[Entry], random: Random) -> str:
    """Spoil the order, names, types or times of messages, and say how."""
    ways = [random.choice((*_WAYS, _exchange)) for _ in range(random.choice((1, 2, 4)))]
    return '; '.join([way(entries, random) for way in ways])


def _shuffle(entries: list[Entry], random: Random) -> str:
    random.shuffle(entries)
    return 'shuffled'


def _double(entries: list[Entry], random: Random) -> str:
    entries += random.sample(entries, min(5, len(entries)))
    return 'some twice'


def _lose(entries: list[Entry], random: Random) -> str:
    topic = random.choice(entries).topic
    entries[:] = [e for e in entries if e.topic != topic] or entries[:1]
    return f'without {topic}'


def _retime(entries: list[Entry], random: Random) -> str:
    place = random.randrange(len(entries))
    stamp_ns = random.choice((0, 1, 2**63 - 1, 2**62, START_NS - 10**18, START_NS + 10**15))
    entries[place] = entries[place]._replace(stamp_ns=stamp_ns)
    return f'{entries[place].topic} recorded at {stamp_ns}'


def _retype(entries: list[Entry], random: Random) -> str:
    topic, other = random.choice(entries).topic, random.choice(entries).type
    entries[:] = [e._replace(type=other) if e.topic == topic else e for e in entries]
    return f'{topic} of type {other}'


def _rename(entries: list[Entry], random: Random) -> str:
    topic = random.choice(entries).topic
    parts = topic.split('/')
    parts[random.randrange(1, len(parts))] = random.choice(WEIRD_TEXT)
    new = '/'.join(parts)
    entries[:] = [e._replace(topic=new) if e.topic == topic else e for e in entries]
    return f'{topic} is called {new!r:.60}'


def _exchange(entries: list[Entry], random: Random) -> str:
    one, other = random.choice(entries).topic, random.choice(entries).topic
    new = {one: other, other: one}
    entries[:] = [e._replace(topic=new.get(e.topic, e.topic)) for e in entries]
    return f'{one} and {other} exchanged'


def _restamp(entries: list[Entry], random: Random) -> str:
    place = random.randrange(len(entries))
    old, sec = entries[place], random.choice((0, -1, -(2**31), 2**31 - 1))
    nanoseconds = random.choice((0, 10**9, 2**32 - 1))
    raw = old.raw[:4] + struct.pack('<iI', sec, nanoseconds) + old.raw[12:]
    entries[place] = old._replace(raw=raw)
    return f'{old.topic} stamped {sec} s {nanoseconds} ns'


def _write_folder(folder: Path, plugin: StoragePlugin) -> Path:
    """Write the drive as a bag folder, as ``ros2 bag record`` leaves it."""
    files = _folder_files(plugin)
    path = folder / 'drive'
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


@cache
def _folder_files(plugin: StoragePlugin) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'drive'
        writer = Writer(path, version=9, storage_plugin=plugin)
        writer.open()
        connections = {
            topic: writer.add_connection(topic, kind, typestore=typestore())
            for topic, kind in {e.topic: e.type for e in slim_drive()}.items()
        }
        for e in slim_drive():
            writer.write(connections[e.topic], e.stamp_ns, e.raw)
        writer.close()
        return {file.name: file.read_bytes() for file in path.iterdir()}


def _sqlite_data() -> bytes:
    files = _folder_files(StoragePlugin.SQLITE3)
    return next(content for name, content in files.items() if name.endswith('.db3'))


def _spoilt_sqlite(number: int, random: Random, folder: Path) -> Case:
    data = _sqlite_data()
    pages = [(page + offset, 2) for page in range(0, len(data), 4096) for offset in (0, 3, 5, 8)]
    fields = (pages, [(offset, 4) for offset in range(16, 96, 4)], ())[number % 3]
    words, spoilt = spoilt_bytes(data, random, fields)
    path = folder / 'drive.db3'
    path.write_bytes(spoilt)
    return reading(words, path)


_SQL_VALUES = (
    *('NULL', "''", '0', '-1', '9223372036854775807', '-9223372036854775808', '1.5', '1e308'),
    *(
        "'text'",
        "x''",
        "x'00'",
        'zeroblob(200000)',
        '1000000000000',
        "'/a/../b'",
        "'a' || char(10)",
    ),
    *("x'ff'", "'x' || char(0) || 'y'", "'/camera/front/camera_info'", "'sensor_msgs/msg/Image'"),
)
_SQL_COLUMNS = (
    *('topics.name', 'topics.type', 'topics.serialization_format', 'topics.offered_qos_profiles'),
    *('topics.id', 'messages.topic_id', 'messages.timestamp', 'messages.data', 'messages.id'),
    *('schema.schema_version', 'message_definitions.encoding', 'message_definitions.topic_type'),
)


def _spoilt_rows(number: int, random: Random, folder: Path) -> Case:
    """Return a database that is sound, but whose columns hold what they are not meant to."""
    path = folder / 'drive.db3'
    path.write_bytes(_sqlite_data())
    table, column = random.choice(_SQL_COLUMNS).split('.')
    value = random.choice(_SQL_VALUES)
    rows = random.choice(('', 'WHERE rowid = 1', 'WHERE rowid % 3 = 1'))
    _execute(path, f'UPDATE OR IGNORE {table} SET {column} = {value} {rows}')  # noqa: S608
    return reading(f'{table}.{column} = {value} {rows}', path)


def _execute(path: Path, statement: str) -> None:
    """Change rows; columns may have any type and be NULL, as if another program had made them."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute('PRAGMA writable_schema = ON')
    for old, new in ((' NOT NULL', ''), (' INTEGER,', ','), (' INTEGER\n', '\n')):
        connection.execute('UPDATE sqlite_master SET sql = replace(sql, ?, ?)', (old, new))
    connection.close()
    connection = sqlite3.connect(path, isolation_level=None)  # so that the schema is read again
    with suppress(sqlite3.Error):  # what a key cannot be stays as it is
        connection.execute(statement)
    connection.close()


def _spoilt_metadata(number: int, random: Random, folder: Path) -> Case:
    import yaml

    plugin = (StoragePlugin.MCAP, StoragePlugin.SQLITE3)[number % 2]
    path = _write_folder(folder, plugin)
    metadata = path / 'metadata.yaml'
    text = metadata.read_text()
    if number % 4 < 2:
        words, text = spoilt_text(text, random)
    else:
        words, tree = spoilt_tree(yaml.safe_load(text), random)
        text = yaml.safe_dump(tree)
    metadata.write_text(text, errors='surrogateescape')
    return reading(f'metadata.yaml: {words}', path)


def _metadata_case(change: Callable[[str], str], folder: Path) -> Case:
    path = _write_folder(folder, StoragePlugin.MCAP)
    metadata = path / 'metadata.yaml'
    metadata.write_text(change(metadata.read_text()))
    return reading('', path)


def laughs(levels: int = 9) -> str:
    """Return YAML that is small, and huge once it is written out."""
    first, *others = 'abcdefghijklmnop'[:levels]
    lines = [f'{first}: &{first} [{", ".join(["lol"] * 9)}]']
    for before, name in zip((first, *others), others, strict=False):
        lines.append(f'{name}: &{name} [{", ".join([f"*{before}"] * 9)}]')
    return '\n'.join(lines) + '\n'


def _laughing_compression(text: str) -> str:
    text = text.replace("compression_format: ''", 'compression_format: *i')
    text = text.replace("compression_mode: ''", 'compression_mode: message')
    return laughs() + text.replace('rosbag2_bagfile_information:', 'rosbag2_bagfile_information:')


_WAYS = (_shuffle, _double, _lose, _retime, _retype, _rename, _restamp)


def _special(name: str, make: Callable[[Path], Any], folder: Path) -> Case:
    path = _write_folder(folder, StoragePlugin.MCAP)
    target = path / name if name else next(path.glob('*.mcap'))
    target.unlink()
    make(target)
    return reading('', path)


def _bomb(folder: Path) -> Case:
    """A chunk that says it is small and unpacks to more than the memory."""
    from backports import zstd

    path = folder / 'drive.mcap'
    data = write(path, drive(), compress=True).read_bytes()
    place = data.index(b'\x04\x00\x00\x00zstd') + 8
    part = zstd.compress(bytes(2**24))
    compressed = part * 200  # frames one after the other count as one
    record = data[data.rindex(b'\x06', 0, place) : place]
    chunk = record[9:] + struct.pack('<Q', len(compressed)) + compressed
    head = data[: place - len(record)] + b'\x06' + struct.pack('<Q', len(chunk)) + chunk
    footer = b'\x02' + struct.pack('<QQQI', 20, 0, 0, 0) + b'\x89MCAP0\r\n'
    path.write_bytes(head + footer)
    return reading('', path)


def _many_chunks(folder: Path) -> Case:
    """An index that names one chunk of a MiB thousands of times, all at the same time."""
    path = folder / 'drive.mcap'
    padding = Entry('/camera/front/image', 'sensor_msgs/msg/Image', bytes(2**20), START_NS)
    data = write(path, (*drive(), padding)).read_bytes()
    begin, size = record_of(data, 0x08)
    path.write_bytes(data[:begin] + data[begin : begin + size] * 5000 + data[begin + size :])
    return reading('', path)


def record_of(data: bytes, wanted: int) -> tuple[int, int]:
    """Return where the last record of a kind begins, and its length."""
    place, found = 8, (0, 0)
    while place + 9 < len(data) - 8:
        (size,) = struct.unpack_from('<Q', data, place + 1)
        if data[place] == wanted:
            found = place, 9 + size
        place += 9 + size
    return found


def _tiny_messages(count: int, folder: Path) -> Case:
    message = Entry('/beat', 'std_msgs/msg/Empty', b'\x00\x01\x00\x00\x00', 0)
    beats = (message._replace(stamp_ns=START_NS + n) for n in range(count))
    path = write(folder / 'drive.mcap', (*drive(), *beats))

    def run(judge: Judge) -> None:
        with judge.entry('messages'), BagReader(path) as bag:
            assert sum(1 for _ in bag.messages()) == count + len(drive())
        read_all(path, judge) if count < 10**4 else None

    return Case('', run, (path.name,))


def _links(pairs: Sequence[tuple[str, str]]) -> Callable[[Path], Case]:
    """Return a drive whose /tf_static links frames in some odd way."""
    from small_recording import entry

    from selfocc_core import bag_messages as messages
    from selfocc_core.transforms import transform_from_quaternion

    pose = transform_from_quaternion((1, 0, 0), (0, 0, 0, 1))

    def make(folder: Path) -> Case:
        links = [messages.transform_stamped(p, c, pose, 0) for p, c in pairs]
        static = entry('/tf_static', messages.tf_message(links), START_NS - PERIOD_NS)
        others = [e for e in drive() if e.topic != '/tf_static']
        return reading('', write(folder / 'drive.mcap', [static, *others]))

    return make


_FRONT = 'camera_front_optical_frame'
_LISTED: dict[str, Callable[[Path], Case]] = {
    'a chunk that unpacks to 3 GiB': _bomb,
    'an index that names a chunk thousands of times': _many_chunks,
    'ten thousand tiny messages': partial(_tiny_messages, 10**4),
    'aliases upon aliases in the compression': partial(_metadata_case, _laughing_compression),
    'aliases upon aliases beside': partial(_metadata_case, lambda text: laughs() + text),
    'deep metadata': partial(_metadata_case, lambda text: text + 'x: ' + '[' * 1000),
    'long metadata': partial(_metadata_case, lambda text: text + '# ' + 'x' * 2**20),
    'a long integer': partial(_metadata_case, lambda text: text + 'x: ' + '9' * 10**4),
    'files outside of the folder': partial(
        _metadata_case, lambda text: text.replace('drive.mcap', '../../../../etc/passwd')
    ),
    'the folder as its file': partial(
        _metadata_case, lambda text: text.replace('drive.mcap', '.')
    ),
    'metadata.yaml is a pipe': partial(_special, 'metadata.yaml', os.mkfifo),
    'metadata.yaml is a folder': partial(_special, 'metadata.yaml', Path.mkdir),
    'metadata.yaml is empty': partial(_special, 'metadata.yaml', Path.touch),
    'metadata.yaml is endless': partial(
        _special, 'metadata.yaml', lambda p: p.symlink_to('/dev/zero')
    ),
    'the file is a pipe': partial(_special, '', os.mkfifo),
    'the file is a folder': partial(_special, '', Path.mkdir),
    'the file is empty': partial(_special, '', Path.touch),
    'the file is endless': partial(_special, '', lambda p: p.symlink_to('/dev/zero')),
    'the file is a link to nowhere': partial(_special, '', lambda p: p.symlink_to('nowhere')),
    'the file is a link to itself': partial(_special, '', lambda p: p.symlink_to(p)),
    'frames in a circle': _links([('base_link', _FRONT), (_FRONT, 'base_link')]),
    'a frame above itself': _links([(_FRONT, _FRONT)]),
    'frames without names': _links([('', ''), ('base_link', '')]),
    'frames with lines': _links([('base\nlink', f'{_FRONT}\n')]),
    'a frame with a long name': _links([('x' * 10**6, _FRONT)]),
    'a long chain of frames': _links(
        [('base_link', '0'), *((str(n), str(n + 1)) for n in range(3000)), ('3000', _FRONT)]
    ),
}


def _sound_bag(make: Callable[[Path], Path], folder: Path) -> Case:
    path = make(folder)

    def run(judge: Judge) -> None:
        with judge.entry('messages'), BagReader(path) as bag:
            found = sorted(message.raw for message in bag.messages())
            assert found in [sorted(e.raw for e in entries) for entries in (drive(), slim_drive())]
        with judge.entry('rig_from_bag'):
            assert set(rig_from_bag(path).names) <= set(RIG.names)
        with judge.entry('trajectory_from_bag'), BagReader(path) as bag:
            trajectory_from_bag(bag)

    return Case('', run)


def _sqlite_file(folder: Path) -> Path:
    path = folder / 'drive.db3'
    path.write_bytes(_sqlite_data())
    return path


_SOUND: dict[str, Callable[[Path], Case]] = {
    words: partial(_sound_bag, make)
    for words, make in {
        'MCAP': lambda f: write(f / 'drive.mcap', drive()),
        'compressed MCAP': lambda f: write(f / 'drive.mcap', drive(), compress=True),
        'MCAP without index': lambda f: write_quickly(f / 'drive.mcap', drive()),
        'sqlite3': _sqlite_file,
        'a folder with MCAP': lambda f: _write_folder(f, StoragePlugin.MCAP),
        'a folder with sqlite3': lambda f: _write_folder(f, StoragePlugin.SQLITE3),
    }.items()
}

FAMILIES: Families = {
    'sound-bag': sound(_SOUND),
    'mcap': Family(partial(_spoilt_mcap, False), 320),
    'mcap-compressed': Family(partial(_spoilt_mcap, True), 60),
    'message': Family(_spoilt_message, 240),
    'disorder': Family(_disordered, 90),
    'sqlite': Family(_spoilt_sqlite, 150),
    'sqlite-rows': Family(_spoilt_rows, 90),
    'metadata': Family(_spoilt_metadata, 100),
    'bag': listed(_LISTED),
    'bag-large': replace(
        listed({'a million tiny messages': partial(_tiny_messages, 10**6)}), least_factor=10.0
    ),
}
