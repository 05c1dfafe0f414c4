"""The verb ``pseudo-labels``: labels of generated drives, as a 2-D segmenter might give them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tyro.conf import Positional

if TYPE_CHECKING:
    from selfocc_core.bags import BagReader
    from training.data.labels import ImageName


@dataclass(frozen=True)
class PseudoLabels:
    """Write labels of generated drives as PNG files, with errors like those of a 2-D segmenter.

    The drives must have classes of all frame sets. Labels are the classes of the preset
    selfocc-tiny-semantic: 0 road to 8 other; the sky is no surface and gets 255, no label. The
    same drives, noise and seed give the same labels.

    Example: selfocc synth --seed 7 --seconds 2 --width 176 --height 99 --all-semantics --out
    drives/7.mcap

    Example: selfocc pseudo-labels drives/7.mcap --noise 0.1 --out labels

    Example: selfocc train --preset selfocc-tiny-semantic --data bag:drives,labels=labels
    """

    drives: Positional[list[Path]]
    """Drives of selfocc synth --all-semantics; folders are searched for .mcap files."""
    out: Path
    """Folder for the labels."""
    noise: float = 0.1
    """Probability that a segment gets the class of something that it could be taken for."""
    jitter_px: float = 1.0
    """Standard deviation of the shift of edges between classes, in pixels."""
    seed: int = 0
    """Seed of the errors."""

    def run(self) -> None:
        """Write the labels.

        Raises:
            SelfOccError: A drive has no classes of all its images, or an option cannot be used.
        """
        from selfocc_core.errors import SelfOccError
        from selfocc_core.progress import track
        from selfocc_core.semantics import CLASS_NAMES
        from training.data.labels import LabelFolder
        from training.data.sources import Source, drives_of
        from training.data.synthetic.label_noise import LabelNoise

        if self.seed < 0:
            raise SelfOccError('--seed must be at least 0')
        if not self.drives:
            raise SelfOccError('no drive to label: give bags of selfocc synth --all-semantics')
        noise, folder = (
            LabelNoise(self.noise, self.jitter_px),
            LabelFolder(self.out, CLASS_NAMES[1:]),
        )
        drives = [d.path for path in self.drives for d in drives_of(Source('bag', path))]
        count = 0
        for path in track(drives, 'Labelling drives'):
            for name, labels in true_labels(path):
                random = np.random.default_rng([self.seed, *_key(name)])
                folder.write(name, training_labels(noise.apply(labels, random)))
                count += 1
        folder.describe(
            f'selfocc pseudo-labels --noise {self.noise:g} --jitter-px {self.jitter_px:g} '
            f'--seed {self.seed}'
        )
        print(f'{self.out}: labels of {count} images of {len(drives)} drives')


def training_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels of the generated world as those of its classes without the first.

    Free space and sky, the first, become 255: they are no surface that could have a class.
    """
    return np.asarray(labels - np.uint8(1), np.uint8)  # unsigned, so that 0 becomes 255


def true_labels(path: Path) -> Iterator[tuple[ImageName, NDArray[np.uint8]]]:
    """Yield the exact classes ``[H, W]`` of every image of a generated drive.

    Raises:
        SelfOccError: The drive lacks those of an image.
    """
    from selfocc_core.bag_messages import decode_mono, stamp_ns_of
    from selfocc_core.bags import BagReader
    from selfocc_core.rig_from_bag import rig_from_bag
    from training.data.labels import ImageName, drive_name

    cameras = rig_from_bag(path).names
    topics = {f'/ground_truth/{camera}/semantics': camera for camera in cameras}
    with BagReader(path) as bag:
        _require_all(bag, topics)
        for message in bag.messages(list(topics)):
            image = message.decode('sensor_msgs/msg/Image')
            name = ImageName(drive_name(path), topics[message.topic], str(stamp_ns_of(image)))
            yield name, decode_mono(image)


def _require_all(bag: BagReader, topics: dict[str, str]) -> None:
    from selfocc_core.errors import SelfOccError

    for topic, camera in topics.items():
        images = bag.count([f'/camera/{camera}/image', f'/camera/{camera}/image/compressed'])
        if bag.count([topic]) < images:
            raise SelfOccError(
                f'drive {bag.path} has classes of {bag.count([topic])} of {images} images of '
                f'camera "{camera}": generate it with "selfocc synth --all-semantics"'
            )


def _key(name: ImageName) -> list[int]:
    """Return numbers that tell an image from all others."""
    return [
        zlib.crc32(name.drive.encode()),
        zlib.crc32(name.camera.encode()),
        int(name.image) % 2**64,
    ]
