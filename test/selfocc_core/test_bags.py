from __future__ import annotations

import numpy as np
import pytest

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagReader, BagWriter
from selfocc_core.errors import SelfOccError

IMAGE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def write(path, count: int = 3, compress: bool = True):
    with BagWriter(path, compress) as bag:
        for k in range(count):
            image = messages.raw_image(IMAGE + k, k * 10**8, 'f')
            bag.write('/camera/front/image', image, k * 10**8)
        bag.write('/tf_static', messages.tf_message([]), 0)
    return path


@pytest.mark.parametrize('name', ['drive.mcap', 'drive'])
@pytest.mark.parametrize('compress', [True, False])
def test_what_is_written_is_read(tmp_path, name, compress):
    with BagReader(write(tmp_path / name, compress=compress)) as bag:
        assert bag.topics == {
            '/camera/front/image': 'sensor_msgs/msg/Image',
            '/tf_static': 'tf2_msgs/msg/TFMessage',
        }
        assert (bag.count(), bag.count(['/tf_static'])) == (4, 1)
        assert (bag.start_ns, bag.end_ns) == (0, 2 * 10**8)
        images = list(bag.messages(['/camera/front/image']))
    assert [m.stamp_ns for m in images] == [0, 10**8, 2 * 10**8]
    np.testing.assert_array_equal(messages.decode_raw(images[2].decode()), IMAGE + 2)


@pytest.mark.parametrize('name', ['drive.mcap', 'drive'])
def test_an_interrupted_writer_leaves_nothing(tmp_path, name):
    def interrupted():
        with BagWriter(tmp_path / name) as bag:
            bag.write('/tf_static', messages.tf_message([]), 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_keeps_the_old_bag(tmp_path):
    path = write(tmp_path / 'drive.mcap')
    before = path.read_bytes()

    def interrupted():
        with BagWriter(path):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        interrupted()
    assert path.read_bytes() == before


@pytest.mark.parametrize('name', ['drive.mcap', 'drive'])
def test_a_new_bag_replaces_the_old(tmp_path, name):
    write(tmp_path / name, count=3)
    with BagReader(write(tmp_path / name, count=1)) as bag:
        assert bag.count(['/camera/front/image']) == 1


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.95])
def test_a_truncated_bag_is_refused(tmp_path, share):
    path = write(tmp_path / 'drive.mcap')
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    def read():
        with BagReader(path) as bag:
            list(bag.messages())

    with pytest.raises(SelfOccError, match='truncated or not a rosbag2'):
        read()


def test_flipped_bytes_are_one_sentence(tmp_path):
    path = write(tmp_path / 'drive.mcap')
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    try:
        with BagReader(path) as bag:
            for message in bag.messages():
                message.decode()
    except SelfOccError as error:
        assert '\n' not in str(error)  # noqa: PT017


def test_missing_bag_and_missing_topic_are_named(tmp_path):
    with (
        pytest.raises(SelfOccError, match=r'there is no bag at .*none\.mcap'),
        BagReader(tmp_path / 'none.mcap'),
    ):
        pass
    with (
        BagReader(write(tmp_path / 'drive.mcap')) as bag,
        pytest.raises(SelfOccError, match='no messages on /odometry'),
    ):
        bag.require(['/tf_static', '/odometry'])


def test_a_damaged_message_names_its_topic(tmp_path):
    with BagWriter(tmp_path / 'd.mcap') as bag:
        bag.write_raw('/odometry', 'nav_msgs/msg/Odometry', b'\x00\x01\x00\x00\x01', 0)
    with (
        BagReader(tmp_path / 'd.mcap') as bag,
        pytest.raises(SelfOccError, match='/odometry is not a valid'),
    ):
        next(bag.messages()).decode()


def test_a_folder_that_is_no_bag_is_never_replaced(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    (folder / 'precious.jpg').write_bytes(b'1')
    with pytest.raises(SelfOccError, match='not a bag'), BagWriter(folder):
        pass
    assert [path.name for path in tmp_path.rglob('*')] == ['photos', 'precious.jpg']
