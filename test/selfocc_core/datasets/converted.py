"""Converting in a test, and looking at what came of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tyro

from selfocc_core import bag_messages as messages
from selfocc_core.bags import BagReader
from selfocc_core.datasets.command import Convert
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.drive import Drive
from selfocc_core.transforms import invert, transform_points


def convert(dataset: str, root: Path, out: Path, drive: str | None = None) -> Path:
    """Convert as the command line does and return the bag."""
    options = ['--from', dataset, '--root', str(root), '--out', str(out)]
    tyro.cli(Convert, args=options + (['--drive', drive] if drive else [])).run()
    return out


def refused(dataset: str, root: Path, folder: Path, sentence: str, drive=None) -> str:
    """Check that a tree is refused with one sentence and that nothing is left of the bag."""
    out = folder / 'out' / 'drive.mcap'
    with pytest.raises(SelfOccError, match=sentence) as caught:
        convert(dataset, root, out, drive)
    assert '\n' not in str(caught.value)
    assert not out.parent.exists() or not list(out.parent.iterdir())
    return str(caught.value)


def decoded(path: Path, topic: str) -> list:
    with BagReader(path) as bag:
        return [message.decode() for message in bag.messages([topic])]


def counts(path: Path) -> dict[str, int]:
    with BagReader(path) as bag:
        return {topic: bag.count([topic]) for topic in sorted(bag.topics)}


def check_stamps(path: Path) -> None:
    """Check that messages lie in order, each recorded at its stamp, which increases by topic."""
    last_ns, last_of = 0, {}
    with BagReader(path) as bag:
        for message in bag.messages():
            assert message.stamp_ns >= last_ns
            last_ns = message.stamp_ns
            if message.topic in {'/tf', '/tf_static'}:
                continue
            stamp_ns = messages.stamp_ns_of(message.decode())
            assert stamp_ns == message.stamp_ns > last_of.get(message.topic, -1)
            last_of[message.topic] = stamp_ns


def cloud_in_image(drive: Drive, cloud, camera_name: str, stamp_ns: int):
    """Return pixels ``[P, 2]`` and depth ``[P]`` of a cloud, as the bag alone tells."""
    camera = drive.rig[camera_name]
    ego_from_lidar = drive.frames.lookup('base_link', cloud.header.frame_id)
    motion = drive.motion(stamp_ns, messages.stamp_ns_of(cloud))
    points = messages.xyz(messages.decode_point_cloud(cloud))
    seen = transform_points(invert(camera.ego_from_camera) @ motion @ ego_from_lidar, points)
    return project(camera.image_from_camera, seen)


def project(image_from_camera, points):
    homogeneous = points @ np.asarray(image_from_camera)[:, :3].T
    if np.shape(image_from_camera)[1] == 4:
        homogeneous = homogeneous + np.asarray(image_from_camera)[:, 3]
    return homogeneous[:, :2] / homogeneous[:, 2:], homogeneous[:, 2]
