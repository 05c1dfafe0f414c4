"""Writes results as a replay through the node records them, so that one code scores both."""

from __future__ import annotations

from selfocc_core import bag_messages
from selfocc_core.bags import BagWriter
from selfocc_core.cameras import Camera
from selfocc_core.depth import DepthImage
from selfocc_core.evaluation.drive import EGO_FRAME
from selfocc_core.evaluation.recording import POINTS_TOPIC
from selfocc_core.frame_processor import ProcessedSet
from selfocc_core.occupied_points import occupied_points


class RecordingWriter:
    """Writes occupancy and depth, filed under the stamps of their headers.

    Args:
        writer: The open bag.
        threshold: Signed distance below which the model's card calls a voxel occupied.
    """

    def __init__(self, writer: BagWriter, threshold: float) -> None:
        self._writer, self._threshold = writer, threshold

    def add(self, processed: ProcessedSet) -> None:
        """Write the result of a frame set."""
        result = processed.result
        for name, depth in result.depths.items():
            stamp_ns = processed.frame_set.frames[name].stamp_ns
            self._write_depth(processed.rig[name], depth, stamp_ns)
        fields = occupied_points(result, self._threshold)
        del fields['rgb']
        cloud = bag_messages.point_cloud(fields, result.stamp_ns, EGO_FRAME)
        self._writer.write(POINTS_TOPIC, cloud, result.stamp_ns)

    def _write_depth(self, camera: Camera, depth: DepthImage, stamp_ns: int) -> None:
        image = bag_messages.raw_image(depth.depth_m, stamp_ns, camera.frame_id)
        info = bag_messages.camera_info(_seeing(depth, camera), stamp_ns)
        topic = f'/surround/{camera.name}/depth'
        self._writer.write(f'{topic}/image', image, stamp_ns)
        self._writer.write(f'{topic}/camera_info', info, stamp_ns)


def _seeing(depth: DepthImage, camera: Camera) -> Camera:
    """Return the camera of a depth image: its own intrinsics, no distortion."""
    height, width = depth.depth_m.shape
    return Camera(
        name=camera.name,
        frame_id=camera.frame_id,
        width=width,
        height=height,
        image_from_camera=depth.image_from_camera,
        ego_from_camera=camera.ego_from_camera,
    )
