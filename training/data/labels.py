"""Pseudo-labels: what a 2-D network says of every pixel, a PNG file for each image.

Layout of a folder of labels::

    LABELS/<drive>/<camera>/<image>.png
    LABELS/labels.json                    {"classes": ["road", ...], "by": "..."}

``drive`` is the name of a bag without ``.mcap``, or of the folder of a drive or sequence, or of a
scene; ``camera`` the name of the camera; ``image`` the image's stamp in nanoseconds in a bag, else
the name of the image file without its ending. A file has 8-bit grey values: the class as its
place among the preset's classes, 255 for pixels that teach nothing. It has the shape of the
camera's image, and may be smaller or larger. ``labels.json`` may be left out; where it is, its
classes must be the preset's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_json, write_atomically
from selfocc_core.frames import Image
from selfocc_core.preprocess import Preprocessor
from selfocc_core.progress import track
from selfocc_core.quoting import shown
from training.config import Preset
from training.data.clip import Clip
from training.data.kept_video import Arrays, entry_beside, facts_of, kept, locked
from training.data.label_png import IGNORED, LabelImage, encode_labels, read_label_png
from training.data.labeller import Labeller

_DESCRIPTION = 'labels.json'
_LONGEST_NAME_BYTES = 200  # of 255 that file systems allow, as endings are added


class ImageName(NamedTuple):
    """Where an image comes from, and so where its labels lie.

    Attributes:
        drive: Name of the drive.
        camera: Name of the camera.
        image: Stamp in nanoseconds, or name of the image file without its ending.
    """

    drive: str
    camera: str
    image: str


Decode = Callable[[Collection[ImageName]], Iterator[tuple[ImageName, Image]]]
"""Yields those images of a drive that are asked for, as the camera took them."""


def require_labels(preset: Preset, clips: Sequence[Clip]) -> None:
    """Check that a preset that learns semantics has labels for all clips.

    Raises:
        SelfOccError: A clip has none.
    """
    without = [clip.name for clip in clips if clip.supervision_labels is None]
    if preset.losses.semantic and without:
        raise SelfOccError(
            f'preset {preset.name} learns semantics but {without[0]} has no pseudo-labels: add '
            'labels=DIR to --data, or give --config.losses.semantic 0 and '
            '--config.model.decoder.class-names'
        )


def _is_plain(part: str) -> bool:
    is_name = part not in {'', '.', '..'} and '/' not in part and part.isprintable()
    return is_name and len(part.encode()) <= _LONGEST_NAME_BYTES


def drive_name(path: Path) -> str:
    """Return the name under which the labels of a bag lie."""
    return path.absolute().name.removesuffix('.mcap')


@dataclass(frozen=True)
class LabelFolder:
    """A folder of labels.

    Attributes:
        folder: Where it lies.
        classes: Names of the classes, in the order of their labels.
    """

    folder: Path
    classes: tuple[str, ...]

    def path(self, name: ImageName) -> Path:
        """Return the file of an image's labels.

        Raises:
            SelfOccError: No file can have the name, or it would lead out of the folder; it may
                come from anywhere.
        """
        if not all(map(_is_plain, name)):
            raise SelfOccError(
                f'labels of image "{shown(name.image)}" of camera "{shown(name.camera)}" of drive '
                f'"{shown(name.drive)}" can have no file: give all of them plain names'
            )
        return self.folder / name.drive / name.camera / f'{name.image}.png'

    def check_classes(self) -> None:
        """Compare the classes of the folder, where it names them, with those wanted.

        Raises:
            SelfOccError: They differ, or the description is malformed.
        """
        path = self.folder / _DESCRIPTION
        if not path.exists():
            return
        try:
            classes = tuple(read_json(path, 'description')['classes'])
        except (KeyError, TypeError) as error:
            raise SelfOccError(
                f'{path} does not say {{"classes": [...]}}: correct it, or remove it'
            ) from error
        if classes != self.classes:
            named = shown(', '.join(map(str, classes)), 1000)
            raise SelfOccError(
                f'the labels in {self.folder} are of the classes {named} but the preset has '
                f'{", ".join(self.classes)}: give another labels=DIR, or '
                '--config.model.decoder.class-names'
            )

    def describe(self, made_by: str) -> None:
        """Write which classes the labels are, and who made them."""
        content = {'classes': self.classes, 'by': made_by}
        text = json.dumps(content, indent=2) + '\n'
        write_atomically(self.folder / _DESCRIPTION, text.encode())

    def write(self, name: ImageName, labels: LabelImage) -> None:
        """Write the labels ``[H, W]`` of an image; the file appears when it is complete."""
        write_atomically(self.path(name), encode_labels(labels))

    def read(self, name: ImageName, camera: Preprocessor) -> LabelImage:
        """Return the labels as they belong to the preprocessed image ``[height, width]``.

        Raises:
            SelfOccError: The file is missing or damaged, is no 8-bit grey PNG, has another shape
                than the camera's image, or a label that is no class.
        """
        path = self.path(name)
        labels = read_label_png(path)
        self._check(path, labels, camera)
        return resampled_labels(labels, camera)

    def _check(self, path: Path, labels: LabelImage, camera: Preprocessor) -> None:
        height, width = labels.shape
        image_width, image_height = camera.camera.width, camera.camera.height
        # Either side may be rounded to whole pixels.
        if abs(width * image_height - height * image_width) > max(image_width, image_height):
            raise SelfOccError(
                f'labels {path} are {width}x{height}, which is not the shape of the images of '
                f'camera "{camera.camera.name}" ({image_width}x{image_height}): make them of the '
                'uncropped images'
            )
        wrong = labels[(labels >= len(self.classes)) & (labels != IGNORED)]
        if len(wrong):
            raise SelfOccError(
                f'labels {path} have the value {wrong[0]}, but the preset has the classes 0 to '
                f'{len(self.classes) - 1} ({", ".join(self.classes)}): map it to one of them, or '
                f'to {IGNORED}, which is left out'
            )


@dataclass(frozen=True)
class LabelSource:
    """Where the labels of drives come from.

    Attributes:
        folder: Where they lie.
        load_labeller: Returns what makes those that are missing; only called if some are.
    """

    folder: LabelFolder
    load_labeller: Callable[[], Labeller] | None = None

    def of(
        self,
        drive: str,
        cameras: Sequence[Preprocessor],
        images: Sequence[Sequence[str]],
        decode: Decode,
        video: Path | None = None,
    ) -> NDArray[np.uint8]:
        """Return the labels of the frame sets of a drive ``[T, N, height, width]``.

        Of several processes of a computer one makes what is missing while others wait.

        Args:
            drive: Its name.
            cameras: What makes supervising images of those of each camera.
            images: Names of the images ``[T][N]``.
            decode: Gives images that have no labels yet.
            video: Entry of the drive (``kept_video``), beside which its labels are kept as they
                are returned; in memory by default.

        Raises:
            SelfOccError: Labels are missing and there is no labeller, or they cannot be used.
        """
        self.folder.check_classes()
        names = [
            [ImageName(drive, c.camera.name, i) for c, i in zip(cameras, of_set, strict=True)]
            for of_set in images
        ]
        self._complete([name for of_set in names for name in of_set], decode)
        shape = len(names), len(cameras), cameras[0].height, cameras[0].width
        labels = (self.folder.read(*p) for s in names for p in zip(s, cameras, strict=True))
        if video is None:
            pixels = np.empty((shape[0] * shape[1], *shape[2:]), np.uint8)
            for place, image in zip(pixels, labels, strict=True):
                place[:] = image
            return pixels.reshape(shape)

        def write(folder: Path) -> Arrays:
            with (folder / 'labels.u8').open('wb') as stream:
                stream.writelines(image.tobytes() for image in labels)
            return {'labels_shape': np.array(shape)}

        facts = facts_of(self.folder.path(name) for of_set in names for name in of_set)
        return kept(entry_beside(video, self.folder.classes, facts), write)['labels']

    def _complete(self, names: Sequence[ImageName], decode: Decode) -> None:
        """Make the labels of a drive that are missing."""
        missing = self._missing(names)
        if not missing:
            return
        if self.load_labeller is None:
            raise SelfOccError(
                f'{len(missing)} of {len(names)} images of {missing[0].drive} have no labels, the '
                f'first is {self.folder.path(missing[0])}: label them, or give labeller='
            )
        with locked(self.folder.folder / missing[0].drive / '.lock'):
            missing = self._missing(names)  # another process may have made them meanwhile
            if missing:
                self._make(missing, self.load_labeller(), decode)

    def _missing(self, names: Sequence[ImageName]) -> list[ImageName]:
        return [name for name in names if not self.folder.path(name).is_file()]

    def _make(self, missing: list[ImageName], labeller: Labeller, decode: Decode) -> None:
        self.folder.describe(labeller.name)
        work = track(decode(frozenset(missing)), f'Labelling {missing[0].drive}', len(missing))
        for name, image in work:
            labels = labeller.label(image)
            if labels.shape != image.shape[:2] or labels.dtype != np.uint8:
                raise SelfOccError(
                    f'labeller {labeller.name} gave {labels.dtype} of shape {labels.shape} '
                    f'for an image of {image.shape}: it must give uint8 of height and width'
                )
            wrong = labels[(labels >= len(self.folder.classes)) & (labels != IGNORED)]
            if len(wrong):
                raise SelfOccError(
                    f'labeller {labeller.name} gave the label {wrong[0]}: it must give the place '
                    f'of one of {len(self.folder.classes)} classes, or {IGNORED}'
                )
            self.folder.write(name, labels)


def resampled_labels(labels: LabelImage, camera: Preprocessor) -> LabelImage:
    """Return for each pixel of the preprocessed image the nearest label ``[height, width]``.

    Args:
        labels: Of the camera's image, at any size ``[H, W]``.
        camera: The preprocessing, whose undistortion, scale and crop the labels follow.

    Returns:
        ``IGNORED`` where the image shows nothing.
    """
    height, width = labels.shape
    pixels = camera.source_pixels()
    sizes = np.array([camera.camera.width, camera.camera.height])
    # Pixel centres lie at integers, so a change of size also shifts by half a pixel.
    nearest = np.floor((pixels + 0.5) * ([width, height] / sizes)).astype(np.int64)
    # Edges lie half a pixel outside of the centres; a hair beyond is rounding.
    inside = ((pixels > -0.51) & (pixels < sizes - 0.49)).all(-1)
    u, v = nearest[..., 0].clip(0, width - 1), nearest[..., 1].clip(0, height - 1)
    return np.asarray(np.where(inside, labels[v, u], IGNORED), np.uint8)
