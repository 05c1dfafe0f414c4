"""The pipeline: surround images in, occupancy and depth out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from selfocc_core.backends import Backend, ModelInputs, ModelOutputs
from selfocc_core.cameras import Rig
from selfocc_core.depth import DepthImage, depth_image
from selfocc_core.errors import SelfOccError
from selfocc_core.frames import FrameSet, Image
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
        slots: The camera of each of the network's inputs, which it tells apart; some may not be
            in the rig, such as those not calibrated yet. ``None``: the rig's own order.

    Raises:
        SelfOccError: The rig does not fit the model.
    """

    def __init__(self, backend: Backend, rig: Rig, slots: Sequence[str] | None = None) -> None:
        card = backend.card
        self._slot = {name: index for index, name in enumerate(slots or rig.names)}
        if len(self._slot) > card.input.cameras:
            raise SelfOccError(
                f'the rig has {len(self._slot)} cameras, model {card.name} takes '
                f'{card.input.cameras}: remove cameras from the rig file or train a model for them'
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
            frame_set: Images of one moment as the cameras delivered them; some may be missing.
            odometry: The vehicle's motion, to compensate for the cameras' different stamps;
                without it the vehicle is taken to stand still for those milliseconds.
        """
        inputs = {
            name: replace(frame, image=self.prepare(name, frame.image))
            for name, frame in frame_set.frames.items()
            if name in self.preprocessors
        }
        return self.process_inputs(FrameSet(frame_set.stamp_ns, inputs), odometry)

    def prepare(self, camera: str, image: Image) -> Image:
        """Return the network input ``[height, width, 3]`` of a camera's RGB image."""
        return self.preprocessors[camera](image)

    def process_inputs(
        self, inputs: FrameSet, odometry: Trajectory | None = None
    ) -> OccupancyResult:
        """Return the occupancy of images that are prepared already."""
        return self.interpret(self.backend.infer(self.assemble(inputs, odometry)), inputs)

    def assemble(self, inputs: FrameSet, odometry: Trajectory | None) -> ModelInputs:
        """Return what the network takes: prepared images, where they look, which there are."""
        return ModelInputs(
            self._stack(inputs), self._project(inputs, odometry), self._present(inputs)
        )

    def interpret(self, outputs: ModelOutputs, inputs: FrameSet) -> OccupancyResult:
        """Return what the network's outputs say of the space around the vehicle."""
        visible = np.asarray(self._seen_by[self._present(inputs)].any(0))
        return OccupancyResult(
            inputs.stamp_ns,
            self.grid,
            classify(outputs.sdf, visible, self.card.threshold),
            outputs.sdf,
            self._depths(outputs.depth, inputs),
            outputs.semantics,
            self.card.classes,
        )

    def _stack(self, inputs: FrameSet) -> NDArray[np.uint8]:
        spec = self.card.input
        images = np.zeros((spec.cameras, spec.height, spec.width, 3), np.uint8)
        for name, frame in inputs.frames.items():
            images[self._slot[name]] = frame.image
        return images

    def _project(self, frame_set: FrameSet, odometry: Trajectory | None) -> NDArray[np.float32]:
        """Projections ``[N, 3, 4]`` from the ego frame at the reference stamp to each image."""
        image_from_ego = np.zeros((self.card.input.cameras, 3, 4), np.float32)
        image_from_ego[:, :, :3] = np.eye(3)  # an absent camera still needs one to invert
        for name, frame in frame_set.frames.items():
            shutter_from_reference = ego_motion(odometry, frame_set.stamp_ns, frame.stamp_ns)
            projection = self.preprocessors[name].input_from_ego @ shutter_from_reference
            image_from_ego[self._slot[name]] = projection
        return image_from_ego

    def _present(self, frame_set: FrameSet) -> NDArray[np.bool_]:
        present = np.zeros(self.card.input.cameras, bool)
        present[[self._slot[name] for name in frame_set.frames]] = True
        return present

    def _voxels_seen_by_each_camera(self) -> NDArray[np.bool_]:
        """Which voxels are in each camera's image ``[N, X, Y, Z]``, for the vehicle at rest.

        What the vehicle moves between two shutters changes little at the edges of the images, and
        is not worth projecting every voxel again for every frame set.
        """
        size = (self.card.input.height, self.card.input.width)
        seen_by = np.zeros((self.card.input.cameras, *self.grid.shape), bool)
        for name, preprocessor in self.preprocessors.items():
            projection = preprocessor.input_from_ego
            seen_by[self._slot[name]] = self.grid.visible_from(projection[None], size)
        return seen_by

    def _depths(self, depth_m: NDArray[np.float32], frame_set: FrameSet) -> dict[str, DepthImage]:
        return {
            name: depth_image(depth_m[self._slot[name]], self.card.depth, self.preprocessors[name])
            for name in self.rig.names
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
