"""What hostile inputs once did to training, one test for each; it must not come back."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from refusal import refused

torch = pytest.importorskip('torch', reason='training needs torch')


@pytest.mark.parametrize('name', ['a\0b', 'a\nb', 'x' * 5000, '../a', ''])
def test_labels_of_odd_names_have_no_file(tmp_path, name):
    from training.data.labels import ImageName, LabelFolder

    folder = LabelFolder(tmp_path, ('road',))
    for place in ImageName._fields:
        odd = ImageName('drive', 'front', '1')._replace(**{place: name})
        refused(lambda n=odd: folder.path(n), 'can have no file')


@pytest.mark.parametrize('text', ['{"classes": ["a\\nb"]}', '[' * 10**5, '[]', '3'])
def test_a_description_of_labels_may_be_anything(tmp_path, text):
    from training.data.labels import LabelFolder

    (tmp_path / 'labels.json').write_text(text)
    refused(LabelFolder(tmp_path, ('road',)).check_classes)


def kept_video(entry_folder, moments):
    from training.data.kept_video import kept

    def make(folder):
        (folder / 'images.u8').write_bytes(bytes(12))
        return {'stamps_ns': np.arange(2), 'images_shape': np.array([2, 2, 3])}

    entry_folder.mkdir(parents=True)
    (entry_folder / 'images.u8').write_bytes(bytes(12))
    (entry_folder / 'moments.npz').write_bytes(moments)
    return kept(entry_folder, make)


def archive_of(members, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    'moments',
    [
        archive_of({'stamps_ns.npy': b'no array'}),
        archive_of({'images_shape.npy': b"\x93NUMPY\x01\x00\x09\x00{'descr':"}),
        archive_of({'stamps_ns.npy': b''}, zipfile.ZIP_LZMA)[:-30],
        archive_of({}),
    ],
    ids=['bytes', 'header', 'lzma', 'nothing'],
)
def test_kept_video_that_the_disk_spoilt_is_made_again(tmp_path, moments):
    video = kept_video(tmp_path / 'cache' / 'x', moments)
    assert video['images'].shape == (2, 2, 3)
    assert video['stamps_ns'].tolist() == [0, 1]


def checkpoint(tmp_path, **changes):
    from training_cases import _content, _saved

    from training.checkpoint import Checkpoint

    path = tmp_path / 'model.ckpt'
    path.write_bytes(_saved(_content() | changes))
    return lambda: Checkpoint.load(path)


@pytest.mark.parametrize(
    'change', [{'step': '3'}, {'step': -1}, {'command': ['x']}, {'model': {'a': 1}}, {'more': 1}]
)
def test_a_checkpoint_has_the_types_that_it_should(tmp_path, change):
    assert checkpoint(tmp_path)().step == 3
    refused(checkpoint(tmp_path, **change), 'model.ckpt', 'is not a checkpoint')


def test_a_preset_that_does_not_fit_together_names_the_checkpoint(tmp_path):
    from training_cases import _content

    preset = json.loads(_content()['preset'])
    preset['model']['backbone']['levels'] = 99
    refused(checkpoint(tmp_path, preset=json.dumps(preset)), 'model.ckpt', 'levels')


def test_a_checkpoint_does_not_unpack(tmp_path):
    from training_cases import _recompressed

    from training.checkpoint import Checkpoint

    (tmp_path / 'model.ckpt').write_bytes(_recompressed())
    refused(lambda: Checkpoint.load(tmp_path / 'model.ckpt'), 'model.ckpt')


@pytest.mark.parametrize('change', [{'layers': 10**6}, {'dim': 6 * 10**6}])
def test_no_network_is_made_that_the_parameters_are_not_of(tmp_path, change):
    from training_cases import _content

    preset = json.loads(_content()['preset'])
    preset['model']['encoder'] |= change
    loaded = checkpoint(tmp_path, preset=json.dumps(preset))()
    refused(loaded.network, 'does not hold the parameters of its preset')


def test_parameters_make_the_network(tmp_path):
    from training_cases import _content

    network = checkpoint(tmp_path)().network()
    for name, value in _content()['model'].items():
        assert torch.equal(network.state_dict()[name], value)


def spoilt_tree(tmp_path, kind, name, change):
    from dataset_cases import _FORMATS, _sound

    from training.data.sources import drives_of, parse_source, read_clips

    for relative, content in _sound(kind).items():
        path = tmp_path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(change(content) if relative.endswith(name) else content)
    (drive_source,) = drives_of(parse_source(f'{kind}:{tmp_path}'))
    return lambda: read_clips(drive_source, _FORMATS[kind][1])


@pytest.mark.parametrize('value', [float('inf'), float('nan'), 10**30, -(10**30), 'now', None])
def test_times_of_nuscenes_may_be_anything(tmp_path, value):
    def change(content):
        return json.dumps([row | {'timestamp': value} for row in json.loads(content)]).encode()

    refused(spoilt_tree(tmp_path, 'nuscenes', 'sample_data.json', change), str(tmp_path))


@pytest.mark.parametrize('name', ['a\0b', 'a\nb', 'x' * 5000, '../../a', '/etc/passwd'])
def test_files_of_nuscenes_may_have_any_name(tmp_path, name):
    def change(content):
        return json.dumps([row | {'filename': name} for row in json.loads(content)]).encode()

    refused(spoilt_tree(tmp_path, 'nuscenes', 'sample_data.json', change), str(tmp_path))


def test_a_lens_that_is_none_names_the_drive(tmp_path):
    def change(_):
        return b'P2: 0 0 0 0 0 0 0 0 0 0 0 0\nTr: 1 0 0 0 0 1 0 0 0 0 1 0\n'

    refused(spoilt_tree(tmp_path, 'semantic-kitti', 'calib.txt', change), '/sequences/00')


def test_a_rotation_that_is_none_names_the_file(tmp_path):
    def change(content):
        return content.replace(b'1.000000000000e+00', b'0.0')

    refused(
        spoilt_tree(tmp_path, 'kitti-raw', 'calib_imu_to_velo.txt', change),
        'calib_imu_to_velo.txt',
    )


def test_stamps_before_the_first_have_pseudo_labels_too(tmp_path):
    from training.data.labels import ImageName
    from training.data.pseudo_labels import _key

    keys = [_key(ImageName('drive', 'front', str(stamp_ns))) for stamp_ns in (-5, 0, 2**62)]
    assert len({tuple(key) for key in keys}) == 3
    assert all(np.random.default_rng(key).random() >= 0 for key in keys)
