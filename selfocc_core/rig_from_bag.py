"""The rig of a recorded drive, from its camera_info and /tf_static."""

from __future__ import annotations

from pathlib import Path

from selfocc_core.bag_messages import camera_from_info, parent_from_child
from selfocc_core.bags import BagReader
from selfocc_core.cameras import Camera, Rig
from selfocc_core.drive_topics import TF_TYPE, camera_names, info_topic
from selfocc_core.errors import SelfOccError
from selfocc_core.quoting import shown
from selfocc_core.transform_tree import TransformTree


def rig_from_bag(path: Path | str, base_frame: str = 'base_link') -> Rig:
    """Return the cameras that a drive was recorded with, the front camera first.

    Args:
        path: The bag; it has ``/camera/<name>/camera_info``, or the like under another name, and
            ``/tf_static``.
        base_frame: The vehicle's frame.

    Raises:
        SelfOccError: The bag lacks one of them, or a camera is not calibrated.
    """
    with BagReader(path) as bag:
        names = camera_names(bag)
        bag.require(['/tf_static'])
        tree = static_transforms(bag)
        return Rig(tuple(_camera(bag, name, tree, base_frame) for name in names))


def static_transforms(bag: BagReader) -> TransformTree:
    """Return the fixed frames of a drive, from its /tf_static.

    Raises:
        SelfOccError: A message is damaged, or a transform in it is none.
    """
    tree = TransformTree()
    for message in bag.messages(['/tf_static']):
        try:
            for transform in message.decode(TF_TYPE).transforms:
                tree.set(
                    transform.header.frame_id,
                    transform.child_frame_id,
                    parent_from_child(transform.transform),
                )
        except SelfOccError as error:
            raise SelfOccError(f'bag {bag.path}, /tf_static: {error}') from error
    return tree


def _camera(bag: BagReader, name: str, tree: TransformTree, base_frame: str) -> Camera:
    topic = info_topic(bag, name)
    info = bag.first(topic)
    try:
        return camera_from_info(name, info, tree.lookup(base_frame, info.header.frame_id))
    except SelfOccError as error:
        raise SelfOccError(f'{topic} in bag {bag.path}: {shown(error, 1000)}') from error
