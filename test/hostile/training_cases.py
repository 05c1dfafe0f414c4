"""What training reads: drives, labels, its own checkpoints and the video that it keeps."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import torch
import torch._dynamo  # which torch loads sooner or later, and then makes a folder for itself
from bag_cases import disorder
from case import Case, Families, Family, listed, sound
from config_cases import json_texts
from image_cases import picture, picture_fields, png, with_checksums
from judging import Judge
from mutation import as_json, spoilt_bytes, spoilt_tree
from small_recording import RIG, drive, write_quickly
from small_run import small_preset
from special_files import special_files

from selfocc_core.errors import SelfOccError
from selfocc_core.preprocess import Preprocessor
from training.checkpoint import Checkpoint
from training.config import InputConfig
from training.data import bag
from training.data.kept_video import VideoCache, kept
from training.data.label_png import read_label_png
from training.data.labels import ImageName, LabelFolder
from training.data.video import read_image
from training.model.selfocc import SelfOcc

CLASSES = tuple('abcdefghi')
IMAGES = InputConfig(2, 12, 16, supervision_height=12, supervision_width=16)


def _clips_case(number: int, random: Random, folder: Path) -> Case:
    (folder / 'out').mkdir()
    entries = list(drive(4))
    if number % 2:
        words = disorder(entries, random)
        entries.sort(key=lambda e: e.stamp_ns)
    else:
        place = random.randrange(len(entries))
        words, raw = spoilt_bytes(entries[place].raw, random)
        words = f'{entries[place].topic}: {words}'
        entries[place] = entries[place]._replace(raw=raw)
    path = write_quickly(folder / 'drive.mcap', entries)
    cache = VideoCache(folder / 'out') if number % 3 == 0 else None

    def run(judge: Judge) -> None:
        with judge.entry('read_clips'):
            clips = bag.read_clips(path, IMAGES, cache=cache)
            assert all(np.isfinite(clip.world_from_ego_at_shutter).all() for clip in clips)

    return Case(words, run, (path.name,), ('*.lock',))


def _label_case(folder: Path, words: str, content: bytes) -> Case:
    labels = LabelFolder(folder, CLASSES)
    name = ImageName('drive', 'front', '1')
    path = labels.path(name)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    def run(judge: Judge) -> None:
        with judge.entry('read_label_png'):
            read_label_png(path)
        with judge.entry('LabelFolder.read'):
            labels.read(name, Preprocessor(RIG['front'], 12, 16))

    return Case(words, run, (path.name,))


def _spoilt_labels(number: int, random: Random, folder: Path) -> Case:
    data = picture('png-labels')
    words, spoilt = spoilt_bytes(data, random, picture_fields(data) if number % 2 else ())
    if random.random() < 0.7:
        spoilt = with_checksums(spoilt)
        words = f'{words}, with right checksums'
    return _label_case(folder, words, spoilt)


def _labels_of(content: Callable[[], bytes]) -> Callable[[Path], Case]:
    return lambda folder: _label_case(folder, '', content())


def _grey(values: np.ndarray) -> bytes:
    return bytes(cv2.imencode('.png', values.astype(np.uint8))[1])


_LABELS: dict[str, Callable[[Path], Case]] = {
    'labels of one pixel': _labels_of(lambda: _grey(np.zeros((1, 1)))),
    'labels of a column': _labels_of(lambda: _grey(np.zeros((5000, 1)))),
    'labels of no class': _labels_of(lambda: _grey(np.full((12, 16), 77))),
    'labels that teach nothing': _labels_of(lambda: _grey(np.full((12, 16), 255))),
    'labels of 65535x65535': _labels_of(partial(png, 65535, 65535, 8, 0)),
    'labels of 9000x9000 in a few bytes': _labels_of(
        lambda: png(9000, 9000, 8, 0, bytes(9001 * 9000))
    ),
    'labels of 16 bits': _labels_of(partial(png, 16, 12, 16, 0)),
    'labels with a palette': _labels_of(partial(png, 16, 12, 8, 3)),
    'labels without pixels': _labels_of(partial(png, 16, 12, 8, 0)),
    'labels of no size': _labels_of(partial(png, 0, 0, 8, 0)),
    'labels as JPEG': _labels_of(partial(picture, 'jpeg')),
    'labels of nothing': _labels_of(lambda: b''),
}


def _description_case(folder: Path, words: str, content: bytes) -> Case:
    labels = LabelFolder(folder, CLASSES)
    (folder / 'labels.json').write_bytes(content)

    def run(judge: Judge) -> None:
        with judge.entry('check_classes'):
            labels.check_classes()

    return Case(words, run, ('labels.json', 'the labels in'))


def _spoilt_description(number: int, random: Random, folder: Path) -> Case:
    tree = {'classes': list(CLASSES), 'by': 'somebody'}
    if number % 2:
        words, content = spoilt_bytes(json.dumps(tree).encode(), random)
    else:
        words, tree = spoilt_tree(tree, random)
        content = as_json(tree)
    return _description_case(folder, words, content)


def _named(name: ImageName) -> Callable[[Path], Case]:
    """Return labels of an image whose name would lead elsewhere."""

    def make(folder: Path) -> Case:
        out = folder / 'out'
        out.mkdir()
        labels = LabelFolder(out, CLASSES)

        def run(judge: Judge) -> None:
            with judge.entry('LabelFolder.write'):
                labels.write(name, np.zeros((2, 2), np.uint8))

        return Case('', run)

    return make


_NAMES: dict[str, Callable[[Path], Case]] = {
    f'an image called {part!r:.30} as {place}': _named(
        ImageName('drive', 'front', '1')._replace(**{place: part})
    )
    for part in ('..', '.', '', '../../escaped', '/escaped', 'a\0b', 'a\nb', 'x' * 5000)
    for place in ('drive', 'camera', 'image')
}


def _make_video(folder: Path) -> dict[str, Any]:
    (folder / 'images.u8').write_bytes(bytes(range(48)))
    return {'stamps_ns': np.arange(4), 'images_shape': np.array([4, 4, 3])}


@cache
def _moments() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, stamps_ns=np.arange(4), images_shape=np.array([4, 4, 3]))
    return stream.getvalue()


def _video_case(folder: Path, words: str, moments: bytes, pixels: bytes) -> Case:
    """Return an entry of decoded video that the disk has spoilt: it is made again."""
    entry = VideoCache(folder / 'out').entry('video')
    entry.mkdir(parents=True)
    (entry / 'moments.npz').write_bytes(moments)
    (entry / 'images.u8').write_bytes(pixels)

    def run(judge: Judge) -> None:
        with judge.entry('kept'):
            video = kept(entry, _make_video)
            assert video['images'].shape == (4, 4, 3)
            assert video['stamps_ns'].tolist() == [0, 1, 2, 3]

    return Case(words, run)


def _spoilt_video(number: int, random: Random, folder: Path) -> Case:
    words, moments = spoilt_bytes(_moments(), random)
    return _video_case(folder, words, moments, bytes(48))


def _moments_of(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **({'stamps_ns': np.arange(4)} | arrays))
    return stream.getvalue()


def _npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(4))
    return stream.getvalue()


_VIDEOS: dict[str, Callable[[Path], Case]] = {
    words: partial(lambda make, folder: _video_case(folder, '', make(), bytes(48)), make)
    for words, make in {
        'video that is cut off': lambda: _moments_of(images_shape=[9, 4, 3]),
        'video of less than no images': lambda: _moments_of(images_shape=[-4, -4, 3]),
        'video of many images': lambda: _moments_of(images_shape=[2**40, 2**40, 0]),
        'video of half images': lambda: _moments_of(images_shape=[1.5, 32, 1]),
        'video of NaN images': lambda: _moments_of(images_shape=[np.nan, 4, 3]),
        'video elsewhere': lambda: _moments_of(**{'/../../escaped_shape': [4, 4, 3]}),
        'video of objects': lambda: _moments_of(images_shape=np.array([None])),
        'moments that are an array': _npy,
        'moments that are a pickle': lambda: pickle.dumps([1]),
        'no moments': lambda: b'',
    }.items()
}


@cache
def _checkpoint_bytes() -> bytes:
    import tempfile

    preset = small_preset()
    model = SelfOcc(preset.model).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.ckpt'
        Checkpoint(preset, 3, 1, 'none', 'none', model, {'state': {}}, 1).save(path)
        return path.read_bytes()


def _checkpoint_case(folder: Path, words: str, content: bytes) -> Case:
    path = folder / 'model.ckpt'
    path.write_bytes(content)

    def run(judge: Judge) -> None:
        with judge.entry('Checkpoint.load'):
            checkpoint = Checkpoint.load(path)
            with judge.entry('Checkpoint.network', 'the checkpoint'):
                checkpoint.network()

    return Case(words, run, (path.name,))


def _spoilt_checkpoint(number: int, random: Random, folder: Path) -> Case:
    words, spoilt = spoilt_bytes(_checkpoint_bytes(), random)
    return _checkpoint_case(folder, words, spoilt)


def _spoilt_preset(number: int, random: Random, folder: Path) -> Case:
    content = _content()
    words, preset = spoilt_tree(json.loads(content['preset']), random)
    return _checkpoint_case(
        folder, f'preset: {words}', _saved(content | {'preset': json.dumps(preset)})
    )


def _content() -> dict[str, Any]:
    return torch.load(io.BytesIO(_checkpoint_bytes()), weights_only=True)


def _saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _with(**changes: Any) -> Callable[[Path], Case]:
    return lambda folder: _checkpoint_case(folder, '', _saved(_content() | changes))


def _with_model(model: Callable[[], dict[str, Any]]) -> Callable[[Path], Case]:
    def make(folder: Path) -> Case:
        return _with(model=model())(folder)

    return make


class _Bomb:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path('escaped'),)


def _with_larger_parameter() -> dict[str, Any]:
    """Return parameters one of which has few values in the file and many in the memory."""
    model = _content()['model']
    name = next(iter(model))
    return model | {name: torch.zeros(1).expand(2**20, 2**20)}


def _with_shared_values() -> dict[str, Any]:
    return {k: torch.zeros(()).expand(v.shape) for k, v in _content()['model'].items()}


def _recompressed() -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(_checkpoint_bytes())) as source,
        zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as target,
    ):
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    return stream.getvalue()


def _with_preset(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Case]:
    def make(folder: Path) -> Case:
        content = _content()
        preset = json.loads(content['preset'])
        change(preset)
        saved = _saved(content | {'preset': json.dumps(preset)})
        return _checkpoint_case(folder, '', saved)

    return make


_CHECKPOINTS: dict[str, Callable[[Path], Case]] = {
    'a checkpoint of nothing': lambda f: _checkpoint_case(f, '', b''),
    'a checkpoint that is a list': lambda f: _checkpoint_case(f, '', _saved([1, 2])),
    'a checkpoint that is a tensor': lambda f: _checkpoint_case(f, '', _saved(torch.zeros(2))),
    'a checkpoint that is a pickle': lambda f: _checkpoint_case(f, '', pickle.dumps(_Bomb())),
    'a checkpoint with a pickle': lambda f: _checkpoint_case(f, '', _saved({'model': _Bomb()})),
    'a checkpoint that is compressed': lambda f: _checkpoint_case(f, '', _recompressed()),
    'a checkpoint of another format': _with(format=99),
    'a format that is no number': _with(format=torch.zeros(3)),
    'a step before the first': _with(step=-1),
    'a step that is text': _with(step='3'),
    'a command that is a list': _with(command=['rm']),
    'more than there should be': _with(more=1),
    'a model that is a list': _with(model=[1]),
    'a model of numbers': _with(model={'a': 1}),
    'a model of nothing': _with(model={}),
    'a preset of nothing': _with(preset=''),
    'a deep preset': _with(preset='[' * 10**5),
    'a parameter larger than the file': _with_model(_with_larger_parameter),
    'parameters that share their values': _with_model(_with_shared_values),
    'a million layers': _with_preset(lambda p: p['model']['encoder'].update(layers=10**6)),
    'a million channels': _with_preset(lambda p: p['model']['encoder'].update(dim=6 * 10**6)),
    'a grid of 10^15 nodes': _with_preset(lambda p: p['model']['grid'].update(shape=[10**5] * 3)),
    'a preset with lines': _with_preset(lambda p: p.update(name='a\nb\x1b[31m' * 1000)),
}


def _label_file(folder: Path) -> Path:
    return folder / '1.png'


def _description_file(folder: Path) -> Path:
    return folder / 'labels.json'


def _checkpoint_file(folder: Path) -> Path:
    return folder / 'model.ckpt'


def _check_classes(path: Path) -> None:
    LabelFolder(path.parent, CLASSES).check_classes()
    if not path.exists():  # then the folder does not say what its classes are
        raise SelfOccError(f'{path.name} is not there')


SPECIAL = special_files(
    {
        'read_label_png': (_label_file, read_label_png),
        'read_image': (_label_file, read_image),
        'check_classes': (_description_file, _check_classes),
        'Checkpoint.load': (_checkpoint_file, Checkpoint.load),
    }
)


def _sound_clips(folder: Path) -> Case:
    path = write_quickly(folder / 'drive.mcap', drive(4))

    def run(judge: Judge) -> None:
        with judge.entry('read_clips'):
            (clip,) = bag.read_clips(path, IMAGES)
            assert len(clip) == 4

    return Case('', run)


_SOUND: dict[str, Callable[[Path], Case]] = {
    'a drive': _sound_clips,
    'labels': lambda f: _label_case(f, '', _grey(np.zeros((12, 16)))),
    'a checkpoint': lambda f: _checkpoint_case(f, '', _checkpoint_bytes()),
    'a checkpoint written again': _with(),
    'video': lambda f: _video_case(f, '', _moments(), bytes(range(48))),
}

FAMILIES: Families = {
    'sound-training': sound(_SOUND),
    'special-training': SPECIAL,
    'clips': Family(_clips_case, 90),
    'labels': Family(_spoilt_labels, 150),
    'labels-listed': listed(_LABELS),
    'description': Family(_spoilt_description, 50),
    'description-listed': listed(json_texts(_description_case)),
    'names-listed': listed(_NAMES),
    'video': Family(_spoilt_video, 80),
    'video-listed': listed(_VIDEOS),
    'checkpoint': Family(_spoilt_checkpoint, 60),
    'preset': Family(_spoilt_preset, 40),
    'checkpoint-listed': listed(_CHECKPOINTS),
}
