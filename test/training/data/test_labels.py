from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from dataset_trees import HEIGHT, IMAGES, WIDTH, write_kitti_drive, write_nuscenes

from selfocc_core.cameras import Camera
from selfocc_core.errors import SelfOccError
from selfocc_core.preprocess import Preprocessor
from training.data.labels import ImageName, LabelFolder, require_labels, resampled_labels
from training.data.sources import parse_source, read_clips

CLASSES = ('road', 'building', 'tree')


class Halves:
    """Says that the left half is class 0 and the right half what the image's brightness says."""

    name = 'halves'
    labelled = 0

    def __init__(self, classes):
        self.classes = classes

    def label(self, image):
        Halves.labelled += 1
        labels = np.zeros(image.shape[:2], np.uint8)
        labels[:, image.shape[1] // 2 :] = image[0, 0, 0] // 10 % 3
        return labels


def other_classes(classes):
    return Halves(('road', 'sky'))


def unused(classes):
    raise AssertionError('nothing is missing')


class Unknown(Halves):
    def label(self, image):
        return np.full(image.shape[:2], 3, np.uint8)


class Wrong(Halves):
    def label(self, image):
        return np.zeros((3, 3), np.uint8)


@pytest.fixture
def drive(tmp_path):
    return write_kitti_drive(tmp_path / 'tree')


@pytest.fixture
def write(tmp_path, drive):
    """Write labels of a frame of the drive."""

    def write_png(frame, labels):
        path = tmp_path / 'labels' / drive.name / 'front' / f'{frame:010d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), labels)
        return path

    return write_png


@pytest.fixture
def read(tmp_path, drive):
    def read_labelled(more='', classes=CLASSES, images=IMAGES):
        source = parse_source(f'kitti-raw:{drive},labels={tmp_path / "labels"}{more}')
        return read_clips(source, images, classes)[0]

    return read_labelled


def grid_of(frame, shape=(HEIGHT, WIDTH)):
    labels = np.random.default_rng(frame).integers(0, 3, shape).astype(np.uint8)
    labels[0] = 255
    return labels


def test_labels_lie_beside_the_images_that_they_belong_to(read, write):
    for frame in range(6):
        write(frame, grid_of(frame))
    clip = read()
    assert clip.supervision_labels.shape == clip.supervision_images.shape[:-1]
    for frame in range(6):
        np.testing.assert_array_equal(clip.supervision_labels[frame, 0], grid_of(frame))
    require_labels_of(clip)


def require_labels_of(clip):
    from training.presets import PRESETS

    preset = PRESETS['selfocc-tiny-semantic']
    require_labels(preset, [clip])
    require_labels(PRESETS['selfocc-tiny'], [replace(clip, supervision_labels=None)])
    with pytest.raises(SelfOccError, match='learns semantics but KITTI drive 2011'):
        require_labels(preset, [clip, replace(clip, supervision_labels=None)])


def test_labels_follow_crop_and_scale_of_the_image(read, write):
    for frame in range(6):
        write(frame, np.repeat(np.arange(WIDTH, dtype=np.uint8)[None] // 22, HEIGHT, 0))
    smaller = replace(IMAGES, supervision_height=16, supervision_width=16)
    labels = read(images=smaller).supervision_labels
    assert labels.shape == (6, 1, 16, 16)
    # Half the size, the middle 16 of 32 columns: columns 16.5, 18.5, ... of the image.
    np.testing.assert_array_equal(labels[0, 0, 0], (16.5 + 2 * np.arange(16)) // 22)


def test_smaller_labels_are_enlarged(read, write):
    for frame in range(6):
        write(frame, grid_of(frame, (HEIGHT // 2, WIDTH // 2)))
    enlarged = np.kron(grid_of(3, (HEIGHT // 2, WIDTH // 2)), np.ones((2, 2), np.uint8))
    np.testing.assert_array_equal(read().supervision_labels[3, 0], enlarged)


def test_labels_follow_the_undistortion():
    k = np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]])
    camera = Camera('a', 'a', 64, 48, k, np.eye(4), 'plumb_bob', (-0.2, 0.05, 0.0, 0.0, 0.0))
    preprocessor = Preprocessor(camera, 24, 32)
    rows, columns = np.mgrid[:48, :64]
    labels = ((rows // 6 + columns // 6) % 2).astype(np.uint8)
    image = preprocessor(np.repeat(255 * labels[..., None], 3, 2).astype(np.uint8))
    found = resampled_labels(labels, preprocessor)
    sure = np.abs(image[..., 0] - 127.5) > 120
    assert sure.sum() > 300
    np.testing.assert_array_equal(found[sure], image[..., 0][sure] > 127)


def test_outside_of_a_wide_lens_there_is_no_label():
    k = np.array([[20.0, 0, 31.5], [0, 20, 23.5], [0, 0, 1]])
    camera = Camera('a', 'a', 64, 48, k, np.eye(4), 'plumb_bob', (0.3, 0.0, 0.0, 0.0, 0.0))
    found = resampled_labels(np.ones((48, 64), np.uint8), Preprocessor(camera, 48, 64))
    assert found[0, 0] == 255
    assert found[24, 32] == 1


def test_missing_labels_are_counted_and_the_first_is_named(read, write):
    for frame in (0, 2, 3):
        write(frame, grid_of(frame))
    with pytest.raises(SelfOccError, match=r'^3 of 6 images of .*_sync have no labels.*0001\.png'):
        read()


@pytest.mark.parametrize(
    ('labels', 'words'),
    [
        (
            np.zeros((HEIGHT, WIDTH, 3), np.uint8),
            'a colour image: write class indices as an 8-bit',
        ),
        (np.zeros((HEIGHT, WIDTH), np.uint16), '16-bit grey'),
        (np.zeros((HEIGHT, WIDTH // 2), np.uint8), r'32x32, which is not the shape .* \(64x32\)'),
        (
            np.full((HEIGHT, WIDTH), 3, np.uint8),
            'the value 3, but the preset has the classes 0 to',
        ),
    ],
)
def test_what_cannot_be_labels_is_named(read, write, labels, words):
    for frame in range(6):
        write(frame, grid_of(frame))
    path = write(4, labels)
    with pytest.raises(SelfOccError, match=words) as caught:
        read()
    assert str(path) in str(caught.value)


def test_damaged_files_are_named(read, write):
    for frame in range(6):
        write(frame, grid_of(frame))
    path = write(2, grid_of(2))
    whole = path.read_bytes()
    for content, words in ((b'no', 'not a PNG'), (whole[:-30], 'are damaged: make them again')):
        path.write_bytes(content)
        with pytest.raises(SelfOccError, match=words) as caught:
            read()
        assert path.name in str(caught.value)


def test_a_labeller_fills_a_folder_once(read, tmp_path, write, capsys):
    write(1, np.full((HEIGHT, WIDTH), 2, np.uint8))
    Halves.labelled = 0
    clip = read(',labeller=test_labels:Halves')
    assert Halves.labelled == 5
    assert 'Labelling 2011_09_26_drive_0042_sync: 5/5' in capsys.readouterr().err
    assert (clip.supervision_labels[1] == 2).all()
    assert (clip.supervision_labels[2:, 0, :, 0] == 0).all()
    assert clip.supervision_labels[2, 0, 0, -1] == 2
    described = json.loads((tmp_path / 'labels' / 'labels.json').read_text())
    assert described == {'classes': list(CLASSES), 'by': 'halves'}
    for again in (read(',labeller=test_labels:unused'), read()):
        np.testing.assert_array_equal(again.supervision_labels, clip.supervision_labels)
    assert Halves.labelled == 5
    with pytest.raises(SelfOccError, match='are of the classes road, building, tree but the pre'):
        read(classes=('road', 'house', 'tree'))


@pytest.mark.parametrize(
    ('entry', 'words'),
    [
        ('test_labels:nothing', 'there is no labeller "test_labels:nothing"'),
        ('no_such_module:x', "no labeller .*No module named 'no_such_module'"),
        ('test_labels', 'give package.module:factory'),
        ('test_labels:other_classes', 'has the classes road, sky but the preset has road, buil'),
        ('test_labels:Unknown', 'labeller halves gave the label 3: it must give the place of one'),
        ('.test_labels:Halves', 'there is no labeller ".test_labels:Halves"'),
        ('test_labels:Wrong', r'labeller halves gave uint8 of shape \(3, 3\)'),
    ],
)
def test_labellers_that_cannot_be_used(read, entry, words):
    with pytest.raises(SelfOccError, match=words):
        read(f',labeller={entry}')


def test_options_that_lack_something(drive):
    with pytest.raises(SelfOccError, match='add labels=DIR, a folder that keeps them'):
        read_clips(parse_source(f'kitti-raw:{drive},labeller=a:b'), IMAGES, CLASSES)
    with pytest.raises(SelfOccError, match='the preset has no classes: choose'):
        read_clips(parse_source(f'kitti-raw:{drive},labels=d'), IMAGES)


def test_scenes_have_labels_of_their_own(tmp_path):
    tree = write_nuscenes(tmp_path / 'n', scenes=('one', 'two'))
    text = f'nuscenes:{tree},labels={tmp_path / "l"},labeller=test_labels:Halves'
    images = replace(IMAGES, cameras=6)
    one, two = read_clips(parse_source(text), images, CLASSES)
    assert one.supervision_labels.shape == two.supervision_labels.shape == (7, 6, HEIGHT, WIDTH)
    assert {p.name for p in (tmp_path / 'l').iterdir()} == {'one', 'two', 'labels.json'}
    assert len(list((tmp_path / 'l' / 'two' / 'back_left').glob('*.png'))) == 7


def test_an_interrupted_write_leaves_no_label(tmp_path, monkeypatch):
    folder, name = LabelFolder(tmp_path, CLASSES), ImageName('d', 'front', '1')

    def fail(self, target):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('pathlib.Path.replace', fail)
    with pytest.raises(SelfOccError, match='No space left'):
        folder.write(name, np.zeros((4, 4), np.uint8))
    assert not folder.path(name).exists()


def test_of_several_processes_one_labels_and_the_others_wait(read):
    Halves.labelled = 0
    with ThreadPoolExecutor(4) as pool:
        clips = list(pool.map(lambda _: read(',labeller=test_labels:Halves'), range(4)))
    assert Halves.labelled == 6
    for clip in clips:
        np.testing.assert_array_equal(clip.supervision_labels, clips[0].supervision_labels)


@pytest.mark.parametrize('drive', ['../../elsewhere', '/tmp', '..', ''])
def test_no_name_leads_out_of_the_folder(tmp_path, drive):
    with pytest.raises(SelfOccError, match=f'of drive "{drive}" can have no file'):
        LabelFolder(tmp_path, CLASSES).path(ImageName(drive, 'front', '1'))
