"""Decoded video in files: the same as in memory, made once, made again where it is stale."""

from __future__ import annotations

import os
import platform
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from dataset_trees import IMAGES as KITTI_IMAGES
from dataset_trees import write_image, write_kitti_drive
from small_bag import IMAGES, PERIOD_NS, RIG, SETS, START_NS, drive, spoilt, without, write

from selfocc_core.errors import SelfOccError
from training.config import TemporalConfig
from training.data import bag, kitti_raw
from training.data.kept_video import VideoCache, kept
from training.data.labels import ImageName, LabelFolder
from training.data.sampler import Sampler
from training.data.sources import parse_source, read_clips

LARGER = replace(IMAGES, height=16, width=32)


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / 'drive.mcap', drive())


@pytest.fixture
def cache(tmp_path):
    return VideoCache(tmp_path / 'cache')


@pytest.fixture
def readings(monkeypatch):
    """How often a bag is decoded."""
    done, original = [], bag._Reading

    def reading(path, cameras):
        done.append(path)
        return original(path, cameras)

    monkeypatch.setattr(bag, '_Reading', reading)
    return done


def entry_of(cache):
    (entry,) = [child for child in cache.folder.iterdir() if child.is_dir()]
    return entry


def assert_same(clip, other):
    for name, value in vars(clip).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(other, name))
        else:
            assert value == getattr(other, name)
    assert (clip.images is clip.supervision_images) == (other.images is other.supervision_images)


@pytest.mark.parametrize('config', [IMAGES, LARGER])
def test_a_kept_video_is_the_same_and_decoded_once(path, cache, readings, config):
    (expected,) = bag.read_clips(path, config)
    for _ in range(2):
        (clip,) = bag.read_clips(path, config, cache=cache)
        assert_same(clip, expected)
    assert len(readings) == 2
    files = {file.name: file.stat().st_size for file in entry_of(cache).iterdir()}
    assert files['images.u8'] == SETS * 6 * config.height * config.width * 3
    assert files['supervision.u8'] == (0 if config is IMAGES else SETS * 6 * 32 * 64 * 3)


def test_its_pixels_stay_in_the_file_until_they_are_looked_at(path, cache):
    (clip,) = bag.read_clips(path, IMAGES, cache=cache)
    assert file_of(clip.images) == 'images.u8'
    assert not clip.images.flags.writeable
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # torch warns of arrays that cannot be written
        Sampler([clip], TemporalConfig(), seed=1).draw(0)


def file_of(array):
    while not isinstance(array, np.memmap):
        array = array.base
    return array.filename.name


def test_labels_are_kept_beside_the_video_until_they_change(path, tmp_path, cache):
    def read(cache):
        (clip,) = read_clips(source, IMAGES, ('road', 'wall'), cache)
        return clip.supervision_labels

    folder = LabelFolder(tmp_path / 'labels', ('road', 'wall'))
    source = parse_source(f'bag:{path},labels={folder.folder}')
    for index in range(SETS):
        for k, camera in enumerate(RIG):
            stamp_ns = START_NS + index * PERIOD_NS + 5_000_000 * k
            labels = np.full((RIG['front'].height, 64), (index + k) % 2, np.uint8)
            folder.write(ImageName('drive', camera.name, str(stamp_ns)), labels)
    expected = read(None)
    assert expected[:, :, 0, 0].tolist() == [[(t + k) % 2 for k in range(6)] for t in range(SETS)]
    kept_labels = read(cache)
    assert file_of(kept_labels) == 'labels.u8'
    np.testing.assert_array_equal(kept_labels, expected)
    folder.write(ImageName('drive', 'front', str(START_NS)), np.full((36, 64), 255, np.uint8))
    assert read(cache)[0, 0, 0, 0] == 255


def test_another_size_or_a_changed_drive_is_decoded_again(path, cache, readings):
    bag.read_clips(path, IMAGES, cache=cache)
    (smaller,) = bag.read_clips(path, LARGER, cache=cache)
    assert smaller.images.shape == (SETS, 6, 16, 32, 3)
    os.utime(path, ns=(0, 1))
    bag.read_clips(path, IMAGES, cache=cache)
    assert len(readings) == 3


@pytest.mark.parametrize('name', ['images.u8', 'supervision.u8', 'moments.npz'])
@pytest.mark.parametrize('spoil', ['cut', 'remove'])
def test_what_is_cut_off_is_made_again(path, cache, readings, name, spoil):
    (expected,) = bag.read_clips(path, LARGER, cache=cache)
    images = expected.images.copy()
    file = entry_of(cache) / name
    if spoil == 'cut':
        file.write_bytes(file.read_bytes()[:-10])
    else:
        file.unlink()
    for _ in range(2):
        (clip,) = bag.read_clips(path, LARGER, cache=cache)
        np.testing.assert_array_equal(clip.images, images)
    assert len(readings) == 2


def test_a_drive_that_is_refused_leaves_nothing(tmp_path, cache):
    path = write(tmp_path / 'drive.mcap', without('/camera/back/image', range(1, SETS))(drive()))
    for _ in range(2):
        with pytest.raises(SelfOccError, match='moments that can be trained on'):
            bag.read_clips(path, IMAGES, cache=cache)
    assert [child.suffix for child in cache.folder.iterdir()] == ['.lock']


def test_what_a_killed_run_left_does_no_harm(path, cache):
    left = cache.folder / f'x.{platform.node()}.unfinished'
    left.mkdir(parents=True)
    (left / 'images.u8').write_bytes(b'half')
    made = kept(cache.folder / 'x', lambda folder: {'n': np.array(len(list(folder.iterdir())))})
    assert made['n'] == 0
    assert not left.exists()


def test_what_another_computer_made_meanwhile_is_left_alone(cache):
    entry = cache.folder / 'x'

    def make(folder):
        entry.mkdir()
        np.savez(entry / 'moments.npz', who=np.array('other'))
        return {'who': np.array('own')}

    assert kept(entry, make)['who'] == 'other'
    assert {child.name for child in cache.folder.iterdir()} == {'x', 'x.lock'}


def test_a_folder_that_is_complete_is_not_written(path, cache, monkeypatch):
    (expected,) = bag.read_clips(path, IMAGES, cache=cache)

    def refuse(path):
        raise AssertionError(path)

    monkeypatch.setattr('training.data.kept_video.locked', refuse)
    (clip,) = bag.read_clips(path, IMAGES, cache=cache)
    assert_same(clip, expected)


def test_moments_that_are_left_out_stay_left_out(tmp_path, cache):
    def cut_off(message):
        message.data = message.data[:100]
        return message

    changed = spoilt('/camera/back/image', cut_off, [3])(drive())
    path = write(tmp_path / 'drive.mcap', changed)
    for _ in range(2):
        (clip,) = bag.read_clips(path, IMAGES, cache=cache)
        assert len(clip) == SETS - 1


def test_of_several_processes_one_decodes_and_the_others_wait(cache):
    entry, running, most = cache.entry('x'), [], []
    started = threading.Barrier(4)

    def make(folder):
        running.append(1)
        most.append(len(running))
        time.sleep(0.05)
        (folder / 'a.u8').write_bytes(b'abc')
        running.pop()
        return {'a_shape': np.array([3])}

    def read(_):
        started.wait()
        return kept(entry, make)['a'].tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [b'abc'] * 4
    assert most == [1]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SelfOccError, match=r'cannot write .*file.*--cache'):
        bag.read_clips(path, IMAGES, cache=VideoCache(tmp_path / 'file'))


def test_image_files_are_kept_too(tmp_path, cache):
    folder = write_kitti_drive(tmp_path)
    (expected,) = kitti_raw.read_clips(folder, KITTI_IMAGES)
    (clip,) = kitti_raw.read_clips(folder, KITTI_IMAGES, cache=cache)
    assert_same(clip, expected)
    (part,) = kitti_raw.read_clips(folder, KITTI_IMAGES, frames='1:5', cache=cache)
    np.testing.assert_array_equal(part.images, expected.images[1:5])
    write_image(folder / 'image_02/data/0000000002.png', 9)
    (changed,) = kitti_raw.read_clips(folder, KITTI_IMAGES, cache=cache)
    assert changed.images[2, 0, 0, 0, 0] == 90
