"""Every configuration as a typed object, and the presets that name them."""

from __future__ import annotations

from dataclasses import dataclass, field

from selfocc_core.voxels import VoxelGrid


@dataclass(frozen=True)
class NodeGrid:
    """Nodes at which the field is decoded; both ends of each range carry a node.

    Attributes:
        minimum_m: Low corner (x, y, z) in the ego frame.
        maximum_m: High corner (x, y, z).
        nodes: Number of nodes along x, y, z.
    """

    minimum_m: tuple[float, float, float] = (-25.6, -25.6, -2.0)
    maximum_m: tuple[float, float, float] = (25.6, 25.6, 4.4)
    nodes: tuple[int, int, int] = (65, 65, 9)

    def subdivided(self, along_z: int) -> NodeGrid:
        """Return the grid with every interval along z cut into equal parts."""
        x, y, z = self.nodes
        return NodeGrid(self.minimum_m, self.maximum_m, (x, y, (z - 1) * along_z + 1))

    def spacing_m(self) -> tuple[float, float, float]:
        """Return the distance between neighbouring nodes along x, y, z."""
        x, y, z = (
            (high - low) / (nodes - 1)
            for low, high, nodes in zip(self.minimum_m, self.maximum_m, self.nodes, strict=True)
        )
        return x, y, z


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Attributes:
        cameras: Cameras of the input.
        height: Input height in pixels.
        width: Input width in pixels.
        backbone_widths: Channels of the four ResNet-18 stages.
        dim: Channels of the feature pyramid and of the TPV queries.
        heads: Heads of the deformable attention.
        top_anchors: Reference points on the pillar of a query of the top plane.
        side_anchors: Reference points on the line of a query of a side plane.
        layers: Encoder layers.
        grid: Nodes of the tri-perspective view.
        volume_channels: Channels of the features in the volume.
        refinements: 3x3x3 convolutions between features and field.
        subdivide_z: Field nodes for each interval of feature nodes along z.
        ground_cap_m: The field starts as the ground plane, at most this far from it.
    """

    cameras: int = 6
    height: int = 96
    width: int = 176
    backbone_widths: tuple[int, int, int, int] = (32, 48, 96, 160)
    dim: int = 64
    heads: int = 4
    top_anchors: int = 8
    side_anchors: int = 16
    layers: int = 1
    grid: NodeGrid = field(default_factory=NodeGrid)
    volume_channels: int = 32
    refinements: int = 2
    subdivide_z: int = 2
    ground_cap_m: float = 1.0


@dataclass(frozen=True)
class OutputConfig:
    """What the exported model gives.

    Attributes:
        grid: Voxels of the occupancy output.
        depth_height: Rows of the depth lattice.
        depth_width: Columns of the depth lattice.
        depth_samples: Samples on each ray of the depth lattice.
    """

    grid: VoxelGrid = field(
        default_factory=lambda: VoxelGrid((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (128, 128, 16))
    )
    depth_height: int = 24
    depth_width: int = 44
    depth_samples: int = 64


@dataclass(frozen=True)
class RenderConfig:
    """Volume rendering during training.

    Attributes:
        near_m: Distance of the first sample.
        far_m: Distance of the last sample; samples lie evenly in the logarithm.
        samples: Samples on a ray.
        rays: Rays of a training step, over all cameras.
        sharpness_start: ``inv_s`` of the NeuS weights at the first step, in 1/m.
        sharpness_end: ``inv_s`` at the last step; it grows geometrically.
    """

    near_m: float = 0.8
    far_m: float = 45.0
    samples: int = 48
    rays: int = 2048
    sharpness_start: float = 3.0
    sharpness_end: float = 40.0


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses; see ``training.losses``."""

    photometric: float = 1.0
    rgb: float = 0.1
    eikonal: float = 0.1
    hessian: float = 0.01
    sparsity: float = 0.003
    swept_volume: float = 0.3


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimisation.

    Attributes:
        steps: Training steps, of one frame set each.
        learning_rate: Peak of the schedule: linear warm-up, then cosine to 2 % of it.
        warm_up: Steps of warm-up.
        weight_decay: Of AdamW.
        clip_norm: Largest norm of the gradient.
    """

    steps: int = 2800
    learning_rate: float = 1e-3
    warm_up: int = 50
    weight_decay: float = 0.01
    clip_norm: float = 10.0


@dataclass(frozen=True)
class TemporalConfig:
    """Which frames supervise.

    Attributes:
        anchor_share: Share of the rays that are cast from neighbouring frames into the field of
            the input frame (temporal supervision, paper section 3.3).
        anchor_reach: How many frames away those may be.
        nearest_source_m: Shortest distance that the vehicle drives between an anchor frame and
            the frames its pixels are matched with.
        farthest_source_m: Longest such distance. Each draw picks one in between, evenly in the
            logarithm: what is near needs a short way, distant ground shows parallax on a long one.
        camera_dropout: Probability that a camera is missing from the input.
    """

    anchor_share: float = 0.5
    anchor_reach: int = 2
    nearest_source_m: float = 0.3
    farthest_source_m: float = 3.0
    camera_dropout: float = 0.1


@dataclass(frozen=True)
class Preset:
    """Everything that defines a training run but its data."""

    name: str = 'selfocc-tiny'
    model: ModelConfig = field(default_factory=ModelConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    render: RenderConfig = field(default_factory=RenderConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    temporal: TemporalConfig = field(default_factory=TemporalConfig)


PRESETS = {'selfocc-tiny': Preset()}
