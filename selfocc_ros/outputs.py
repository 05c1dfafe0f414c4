"""What the node publishes of a result."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from nav_msgs.msg import OccupancyGrid
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from selfocc_core.frame_processor import ProcessedSet
from selfocc_core.voxels import VoxelGrid
from selfocc_ros.conversions import (
    MAX_COLUMN_VOXELS,
    depth_camera_info,
    depth_message,
    header,
    occupancy_grid,
    occupied_cloud,
    occupied_markers,
    voxel_grid,
)
from selfocc_ros.parameters import NodeParameters
from selfocc_ros.transport import output_qos, overridable


class Outputs:
    """The node's lifecycle publishers; what nobody listens to is not even built."""

    def __init__(self, node: LifecycleNode, cameras: Sequence[str], grid: VoxelGrid) -> None:
        self._node = node
        self._cloud = self._publisher(PointCloud2, '~/occupancy/points')
        self._grid = self._publisher(OccupancyGrid, '~/occupancy/grid')
        self._markers = self._publisher(MarkerArray, '~/debug/markers')
        self._voxels = self._voxel_publisher(grid)
        self._depths = {c: self._publisher(Image, f'~/{c}/depth/image') for c in cameras}
        self._infos = {c: self._publisher(CameraInfo, f'~/{c}/depth/camera_info') for c in cameras}

    def are_wanted(self, parameters: NodeParameters) -> bool:
        """Return whether anybody listens to anything that these parameters let out."""
        publishers = [self._cloud, self._grid]
        publishers += [] if self._voxels is None else [self._voxels]
        publishers += [self._markers] if parameters.marker_limit else []
        publishers += self._depth_publishers() if parameters.publish_depth else []
        return any(map(_has_listener, publishers))

    def publish(
        self, processed: ProcessedSet, parameters: NodeParameters, threshold: float
    ) -> None:
        """Publish all forms of a result; the cloud last, so that it tells that all are out."""
        result, frame = processed.result, parameters.base_frame
        if parameters.publish_depth:
            self._publish_depths(processed)
        if _has_listener(self._grid):
            band = parameters.height_band_low_m, parameters.height_band_high_m
            self._grid.publish(occupancy_grid(result, frame, *band))
        if self._voxels is not None and _has_listener(self._voxels):
            self._voxels.publish(voxel_grid(result, frame))
        if parameters.marker_limit and _has_listener(self._markers):
            self._markers.publish(occupied_markers(result, frame, parameters.marker_limit))
        if _has_listener(self._cloud):
            self._cloud.publish(occupied_cloud(result, frame, threshold))

    def destroy(self) -> None:
        """Remove the publishers from the node."""
        voxels = [] if self._voxels is None else [self._voxels]
        for publisher in [
            self._cloud,
            self._grid,
            self._markers,
            *voxels,
            *self._depth_publishers(),
        ]:
            self._node.destroy_lifecycle_publisher(publisher)

    def _depth_publishers(self) -> list[Any]:
        return [*self._depths.values(), *self._infos.values()]

    def _publish_depths(self, processed: ProcessedSet) -> None:
        """Publish depth with the stamp and frame of the camera's own image."""
        for camera, depth in processed.result.depths.items():
            image, info = self._depths[camera], self._infos[camera]
            stamp_ns = processed.frame_set.frames[camera].stamp_ns
            own_header = header(stamp_ns, processed.rig[camera].frame_id)
            if _has_listener(image):
                image.publish(depth_message(depth, own_header))
            if _has_listener(info):
                info.publish(depth_camera_info(depth, own_header))

    def _voxel_publisher(self, grid: VoxelGrid) -> Any | None:
        too_high = grid.shape[2] > MAX_COLUMN_VOXELS
        if too_high or importlib.util.find_spec('nav2_msgs') is None:
            return None
        from nav2_msgs.msg import VoxelGrid

        return self._publisher(VoxelGrid, '~/occupancy/voxel_grid')

    def _publisher(self, message_type: Any, topic: str) -> Any:
        return self._node.create_lifecycle_publisher(
            message_type, topic, output_qos(), qos_overriding_options=overridable()
        )


def _has_listener(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())
