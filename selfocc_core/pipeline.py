"""The pipeline: surround images in, occupancy and depth out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfocc_core.backends import Backend, ModelInputs
from selfocc_core.cameras import Rig
from selfocc_core.depth import DepthImage, depth_image
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import FrameSet
from selfocc_core.preprocess import Preprocessor
from selfocc_core.transforms import Trajectory, invert
from selfocc_core.voxels import VoxelGrid, VoxelState


@dataclass(frozen=True, eq=False)
class OccupancyResult:
    """What the network saw at one reference stamp.

    Attributes:
        stamp_ns: Reference stamp of the frame set.
        grid: The voxel grid, in the ego frame at that stamp.
        states: ``VoxelState`` of each voxel ``[X, Y, Z]`` uint8.
        sdf: Signed distance in metres ``[X, Y, Z]`` float32.
        depths: Depth image of each camera that was present.
        labels: Class of each voxel ``[X, Y, Z]`` uint8, an index into the card's classes; only
            that of an occupied voxel means something. ``None`` of a model without classes.
        class_names: The card's classes.
    """

    stamp_ns: int
    grid: VoxelGrid
    states: NDArray[np.uint8]
    sdf: NDArray[np.float32]
    depths: Mapping[str, DepthImage]
    labels: NDArray[np.uint8] | None = None
    class_names: tuple[str, ...] = ()


class OccupancyPipeline:
    """Everything between a frame set and its occupancy, for one model on one rig.

    Args:
        backend: The runtime with the model.
        rig: The vehicle's cameras; at most as many as the model takes.

    Raises:
        SelfOccError: The rig does not fit the model.
    """

    def __init__(self, backend: Backend, rig: Rig) -> None:
        card = backend.card
        if len(rig) > card.input.cameras:
            raise SelfOccError(
                f'the rig has {len(rig)} cameras, model {card.name} takes {card.input.cameras}: '
                'remove cameras from the rig file or train a model for them'
            )
        if card.rig_hash is not None and card.rig_hash != rig.content_hash:
            raise SelfOccError(
                f'model {card.name} was exported for another rig: export it again for this one'
            )
        self.backend, self.card, self.rig = backend, card, rig
        self.grid = card.grid.to_grid()
        self.preprocessors = {
            camera.name: Preprocessor(camera, card.input.height, card.input.width)
            for camera in rig
        }
        self._seen_by = self._voxels_seen_by_each_camera()

    def process(self, frame_set: FrameSet, odometry: Trajectory | None = None) -> OccupancyResult:
        """Return the occupancy around the vehicle at the reference stamp.

        Args:
            frame_set: Images of one moment; cameras may be missing.
            odometry: The vehicle's motion, to compensate for the cameras' different stamps;
                without it the vehicle is taken to stand still for those milliseconds.
        """
        images = self._preprocess(frame_set)
        image_from_ego = self._project(frame_set, odometry)
        present = self._present(frame_set)
        outputs = self.backend.infer(ModelInputs(images, image_from_ego, present))
        visible = np.asarray(self._seen_by[present].any(0))
        states = classify(outputs.sdf, visible, self.card.threshold)
        depths = self._depths(outputs.depth, frame_set)
        return OccupancyResult(
            frame_set.stamp_ns,
            self.grid,
            states,
            outputs.sdf,
            depths,
            outputs.semantics,
            self.card.classes,
        )

    def _preprocess(self, frame_set: FrameSet) -> NDArray[np.uint8]:
        spec = self.card.input
        images = np.zeros((spec.cameras, spec.height, spec.width, 3), np.uint8)
        for slot, name in enumerate(self.rig.names):
            if name in frame_set.frames:
                images[slot] = self.preprocessors[name](frame_set.frames[name].image)
        return images

    def _project(self, frame_set: FrameSet, odometry: Trajectory | None) -> NDArray[np.float32]:
        """Projections ``[N, 3, 4]`` from the ego frame at the reference stamp to each image."""
        image_from_ego = np.zeros((self.card.input.cameras, 3, 4), np.float32)
        image_from_ego[:, :, :3] = np.eye(3)  # an absent camera still needs one to invert
        for slot, name in enumerate(self.rig.names):
            if name in frame_set.frames:
                shutter_from_reference = ego_motion(
                    odometry, frame_set.stamp_ns, frame_set.frames[name].stamp_ns
                )
                projection = self.preprocessors[name].input_from_ego @ shutter_from_reference
                image_from_ego[slot] = projection
        return image_from_ego

    def _present(self, frame_set: FrameSet) -> NDArray[np.bool_]:
        present = np.zeros(self.card.input.cameras, bool)
        present[: len(self.rig)] = [name in frame_set.frames for name in self.rig.names]
        return present

    def _voxels_seen_by_each_camera(self) -> NDArray[np.bool_]:
        """Which voxels are in each camera's image ``[N, X, Y, Z]``, for the vehicle at rest.

        What the vehicle moves between two shutters changes little at the edges of the images, and
        is not worth projecting every voxel again for every frame set.
        """
        size = (self.card.input.height, self.card.input.width)
        seen_by = np.zeros((self.card.input.cameras, *self.grid.shape), bool)
        for slot, name in enumerate(self.rig.names):
            projection = self.preprocessors[name].input_from_ego
            seen_by[slot] = self.grid.visible_from(projection[None], size)
        return seen_by

    def _depths(self, depth_m: NDArray[np.float32], frame_set: FrameSet) -> dict[str, DepthImage]:
        return {
            name: depth_image(depth_m[slot], self.card.depth, self.preprocessors[name])
            for slot, name in enumerate(self.rig.names)
            if name in frame_set.frames
        }


def classify(
    sdf: NDArray[np.float32], visible: NDArray[np.bool_], threshold: float
) -> NDArray[np.uint8]:
    """Return the state of each voxel: occupied where the signed distance is at most the threshold.

    What no working camera has in its image is unknown, whatever the network believes; so is what
    the network gives no number for. What is in an image but hidden behind something counts as the
    network predicts it.
    """
    states = np.full(sdf.shape, VoxelState.FREE, np.uint8)
    states[sdf <= threshold] = VoxelState.OCCUPIED
    states[~visible | ~np.isfinite(sdf)] = VoxelState.UNKNOWN
    return states


def ego_motion(
    odometry: Trajectory | None, reference_ns: int, shutter_ns: int
) -> NDArray[np.float64]:
    """Return ``ego_at_shutter_from_ego_at_reference`` ``[4, 4]``."""
    if odometry is None or reference_ns == shutter_ns:
        return np.eye(4)
    return invert(odometry.at(shutter_ns)) @ odometry.at(reference_ns)
