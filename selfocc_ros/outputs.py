"""What the node publishes of a result."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from nav_msgs.msg import OccupancyGrid
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from selfocc_core.cameras import Rig
from selfocc_core.frames import FrameSet
from selfocc_core.pipeline import OccupancyResult
from selfocc_ros.conversions import (
    depth_camera_info,
    depth_message,
    header,
    occupancy_grid,
    occupied_cloud,
    voxel_grid,
)
from selfocc_ros.parameters import NodeParameters
from selfocc_ros.transport import output_qos


class Outputs:
    """The node's lifecycle publishers; what nobody listens to is not even built.

    The cloud is the exception: it is the record that a frame set was processed.
    """

    def __init__(self, node: LifecycleNode, cameras: Sequence[str]) -> None:
        self._node = node
        self._cloud = self._publisher(PointCloud2, '~/occupancy/points')
        self._grid = self._publisher(OccupancyGrid, '~/occupancy/grid')
        self._voxels = self._voxel_publisher()
        self._depths = {c: self._publisher(Image, f'~/{c}/depth/image') for c in cameras}
        self._infos = {c: self._publisher(CameraInfo, f'~/{c}/depth/camera_info') for c in cameras}

    def publish(
        self,
        result: OccupancyResult,
        frame_set: FrameSet,
        rig: Rig,
        parameters: NodeParameters,
        threshold: float,
    ) -> None:
        """Publish all forms of a result; the cloud last, so that it tells that all are out."""
        if parameters.publish_depth:
            self._publish_depths(result, frame_set, rig)
        if _has_listener(self._grid):
            band = parameters.height_band_low_m, parameters.height_band_high_m
            self._grid.publish(occupancy_grid(result, parameters.base_frame, *band))
        if self._voxels is not None and _has_listener(self._voxels):
            self._voxels.publish(voxel_grid(result, parameters.base_frame))
        self._cloud.publish(occupied_cloud(result, parameters.base_frame, threshold))

    def destroy(self) -> None:
        """Remove the publishers from the node."""
        voxels = [] if self._voxels is None else [self._voxels]
        depths = [*self._depths.values(), *self._infos.values()]
        for publisher in [self._cloud, self._grid, *voxels, *depths]:
            self._node.destroy_lifecycle_publisher(publisher)

    def _publish_depths(self, result: OccupancyResult, frame_set: FrameSet, rig: Rig) -> None:
        """Publish depth with the stamp and frame of the camera's own image."""
        for camera, depth in result.depths.items():
            image, info = self._depths[camera], self._infos[camera]
            own_header = header(frame_set.frames[camera].stamp_ns, rig[camera].frame_id)
            if _has_listener(image):
                image.publish(depth_message(depth, own_header))
            if _has_listener(info):
                info.publish(depth_camera_info(depth, own_header))

    def _voxel_publisher(self) -> Any | None:
        if importlib.util.find_spec('nav2_msgs') is None:
            return None
        from nav2_msgs.msg import VoxelGrid

        return self._publisher(VoxelGrid, '~/occupancy/voxel_grid')

    def _publisher(self, message_type: Any, topic: str) -> Any:
        return self._node.create_lifecycle_publisher(message_type, topic, output_qos())


def _has_listener(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())
