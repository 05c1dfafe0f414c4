"""Which topics of a recorded drive are its cameras and its odometry.

A drive may have been recorded from drivers (``/camera/<name>/...``), from the inputs of the node
(``/surround/input/<name>/...``) or under a vehicle's own names: cameras are found by the type of
their ``camera_info``, all below one namespace, and their images beside it.
"""

from __future__ import annotations

from collections import defaultdict

from selfocc_core.bag_messages import COLOR_CODES
from selfocc_core.bags import BagReader
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.errors import SelfOccError

ODOMETRY_TOPIC = '/odometry'
ODOMETRY_TYPE, TF_TYPE = 'nav_msgs/msg/Odometry', 'tf2_msgs/msg/TFMessage'

_CAMERAS, _INFO = '/camera', '/camera_info'
_IMAGE, _INFO_TYPE = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
_IMAGE_TYPES = (_IMAGE, 'sensor_msgs/msg/CompressedImage')
# Compressed first: it is what most drives have, and much less to read where both were recorded.
# Rectified images are not looked for, as camera_info describes the lens of the raw ones.
_IMAGES = tuple(
    f'/{name}{transport}'
    for name in ('image', 'image_raw', 'image_color')
    for transport in ('/compressed', '')
)


def camera_names(bag: BagReader) -> tuple[str, ...]:
    """Return the names of the bag's cameras: those of the usual rig in its order, then others.

    Raises:
        SelfOccError: The bag has no camera.
    """
    names = _namespaces(bag).keys()
    usual = nuscenes_like_rig().names
    return tuple(name for name in usual if name in names) + tuple(sorted(names - set(usual)))


def info_topic(bag: BagReader, camera: str) -> str:
    """Return the topic of a camera's ``camera_info``."""
    return _namespace(bag, camera) + _INFO


def image_topic(bag: BagReader, camera: str) -> str:
    """Return the topic of a camera's images: compressed where the bag has that, else raw.

    Raises:
        SelfOccError: The bag has no image of the camera.
    """
    found = find_image_topic(bag, camera)
    if found is None:
        namespace = _namespace(bag, camera)
        raise SelfOccError(
            f'bag {bag.path} has no messages on {namespace}/image/compressed or '
            f'{namespace}/image: record the images of camera "{camera}", or leave out its '
            'camera_info'
        )
    return found


def find_image_topic(bag: BagReader, camera: str) -> str | None:
    """Return the same, or ``None`` if there is no image."""
    return _image_topic(bag, _namespace(bag, camera))


def odometry_topic(bag: BagReader) -> str:
    """Return the topic of the vehicle's odometry; the usual one if the bag has none.

    Raises:
        SelfOccError: The bag has several and none of them has the usual name.
    """
    found = sorted(t for t, name in bag.topics.items() if name == ODOMETRY_TYPE and bag.count([t]))
    if not found or ODOMETRY_TOPIC in found:
        return ODOMETRY_TOPIC
    if len(found) > 1:
        raise SelfOccError(
            f'bag {bag.path} has the odometries {", ".join(found)}: record one of them, or name '
            f'it {ODOMETRY_TOPIC}'
        )
    return found[0]


def _namespaces(bag: BagReader) -> dict[str, str]:
    """Return the namespace of each camera by its name, of the largest group of cameras."""
    infos = [topic for topic, name in bag.topics.items() if name == _INFO_TYPE]
    namespaces = [t.removesuffix(_INFO) for t in infos if t.endswith(_INFO)]
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for namespace in sorted(namespaces):
        if _is_color(bag, namespace):
            group, _, name = namespace.rpartition('/')
            groups[group][name or 'camera'] = namespace  # a lone one may lie in no namespace
    if not groups:
        raise SelfOccError(
            f'bag {bag.path} has no topic /camera/<name>/camera_info: record it with the images'
        )
    return groups[max(groups, key=lambda group: (len(groups[group]), group == _CAMERAS))]


def _namespace(bag: BagReader, camera: str) -> str:
    return _namespaces(bag).get(camera, f'{_CAMERAS}/{camera}')


def _image_topic(bag: BagReader, namespace: str) -> str | None:
    topics = (namespace + image for image in _IMAGES)
    types = bag.topics
    return next((t for t in topics if types.get(t) in _IMAGE_TYPES and bag.count([t])), None)


def _is_color(bag: BagReader, namespace: str) -> bool:
    """Return whether a camera has anything but depth images."""
    topic = _image_topic(bag, namespace)
    if topic is None or bag.topics[topic] != _IMAGE:
        return True
    return bag.first(topic).encoding in COLOR_CODES
