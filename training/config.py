"""Typed configuration of everything that defines a training run but its data.

Section numbers refer to the description of the method in docs/method.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from selfocc_core.errors import SelfOccError
from selfocc_core.voxels import VoxelGrid
from training.grid import NodeGrid


@dataclass(frozen=True)
class InputConfig:
    """The images."""

    cameras: int = 6
    """Cameras of the rig; fewer may be present."""
    height: int = 384
    """Rows of the network input; the network pads it to a multiple of its coarsest stride."""
    width: int = 800
    """Columns of the network input."""
    supervision_height: int = 768
    """Rows of the images that supervise."""
    supervision_width: int = 1600
    """Columns of the images that supervise."""
    camera_names: tuple[str, ...] = ()
    """Which cameras of bags are used, ``cameras`` of them; none: all."""

    def __post_init__(self) -> None:
        names = self.camera_names
        _refuse_if(
            bool(names) and len(set(names)) != self.cameras,
            f'model.input.camera_names {" ".join(names)} are not the number of different names '
            f'that model.input.cameras says, {self.cameras}',
        )


@dataclass(frozen=True)
class BackboneConfig:
    """ResNet and feature pyramid (section 2.2)."""

    depth: Literal[18, 34, 50, 101] = 50
    """Layers of the ResNet."""
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Width of the blocks of its four stages."""
    frozen_stem: bool = True
    """Keep the first convolution and its norm as the loaded weights have them."""
    levels: int = 4
    """Levels of the feature pyramid, finest (stride 4) first."""


@dataclass(frozen=True)
class EncoderConfig:
    """Queries on planes that attend to each other and to the images (sections 2.3, 2.4)."""

    view: Literal['tpv', 'bev'] = 'tpv'
    """Three planes, or the top plane only."""
    dim: int = 96
    """Channels of the pyramid and of the queries."""
    heads: int = 6
    """Heads of the deformable attention."""
    layers: int = 4
    """Encoder layers."""
    top_anchors: int = 8
    """Reference points on the pillar of a query of the top plane."""
    side_anchors: int = 48
    """Reference points on the line of a query of a side plane."""
    self_points: int = 12
    """Points for each plane and head at which planes look at each other; 0: they do not."""
    feedforward: int = 192
    """Hidden channels of the feed-forward network."""
    dropout: float = 0.1
    """Dropout after each attention and in the feed-forward network."""
    position_frequencies: int = 12
    """Frequencies of the positional encoding; 0: none."""
    token_embeddings: bool = True
    """Add a learned vector for each camera slot and pyramid level to the image features. Without
    them the cameras of a rig may come in any order and number."""
    query_std: float = 1.0
    """Standard deviation of the initial queries."""
    checkpoint: bool = False
    """Recompute each layer in the backward pass instead of keeping its activations."""


@dataclass(frozen=True)
class DecoderConfig:
    """From features to signed distance, colour and semantics (section 2.5)."""

    kind: Literal['mlp', 'convolutions'] = 'mlp'
    """``mlp``: the method's, at every node. ``convolutions``: ours for small networks, which
    starts as the ground plane and decodes several nodes along z for each node of features."""
    color: bool = True
    """Decode colour."""
    class_names: tuple[str, ...] = ()
    """Semantic classes, in the order of their labels; none: no semantics."""
    layers: int = 2
    """Linear layers of the MLP; 2 in the bird's eye view."""
    chunk_nodes: int = 32768
    """Nodes decoded at a time by the MLP; in training each chunk is recomputed backwards."""
    volume_channels: int = 32
    """Convolutions: channels of the features in the volume."""
    refinements: int = 2
    """Convolutions: how many of 3x3x3."""
    context: int = 0
    """Convolutions: how many of 3x3x3 come first, at nodes twice as far apart along x and y."""
    subdivide_xy: int = 1
    """Convolutions: field nodes for each feature node along x and along y."""
    subdivide_z: int = 1
    """Convolutions: field nodes for each feature node along z."""
    ground_cap_m: float = 1.0
    """Convolutions: the field starts as the ground plane, at most this far from it."""
    lift: bool = False
    """Convolutions: add the image features at each node's own projection."""

    @property
    def classes(self) -> int:
        """Number of semantic classes."""
        return len(self.class_names)


@dataclass(frozen=True)
class VolumeFrame:
    """Where the volume stands on the vehicle (section 1).

    The ego frame has x ahead, y to the left, z up, and its origin on the ground.
    """

    axes: Literal['ahead_left', 'right_ahead'] = 'ahead_left'
    """Where x and y of the volume point; z points up."""
    origin_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Origin of the volume's frame in the ego frame."""

    @property
    def ego_from_volume(self) -> list[list[float]]:
        """The transform as rows of a 4x4 matrix."""
        x, y, z = self.origin_m
        if self.axes == 'ahead_left':
            return [[1.0, 0, 0, x], [0, 1, 0, y], [0, 0, 1, z], [0, 0, 0, 1]]
        return [[0.0, 1, 0, x], [-1, 0, 0, y], [0, 0, 1, z], [0, 0, 0, 1]]

    def voxels_over(self, grid: NodeGrid, shape: tuple[int, int, int]) -> VoxelGrid:
        """Return voxels of the ego frame that fill the range of a grid in the volume's frame."""
        (x0, y0, z0), (x1, y1, z1) = grid.minimum_m, grid.maximum_m
        if self.axes == 'right_ahead':
            x0, x1, y0, y1 = y0, y1, -x1, -x0
        x, y, z = self.origin_m
        return VoxelGrid((x0 + x, y0 + y, z0 + z), (x1 + x, y1 + y, z1 + z), shape)


@dataclass(frozen=True)
class ModelConfig:
    """The network (section 2)."""

    input: InputConfig = field(default_factory=InputConfig)
    """Images."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """ResNet and feature pyramid."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Planes of queries."""
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    """Features to field."""
    grid: NodeGrid = field(default_factory=NodeGrid)
    """Nodes of the planes and of the volume (section 1), in the frame of the volume."""
    frame: VolumeFrame = field(default_factory=VolumeFrame)
    """Where the volume stands on the vehicle."""
    parity: bool = False
    """Compute what the original computes, its quirks included (docs/method.md lists them). Needed
    for its published weights."""

    def __post_init__(self) -> None:
        encoder, decoder = self.encoder, self.decoder
        is_bev, is_mlp = encoder.view == 'bev', decoder.kind == 'mlp'
        _refuse_if(encoder.dim % encoder.heads != 0, 'encoder.dim is no multiple of encoder.heads')
        _refuse_if(not 1 <= self.backbone.levels <= 4, 'backbone.levels is not 1 to 4')
        _refuse_if(
            is_bev and is_mlp and decoder.layers != 2, 'decoder.layers is always 2 with view bev'
        )
        _refuse_if(is_mlp and decoder.lift, 'decoder.lift needs decoder.kind convolutions')
        _refuse_if(
            is_mlp and (decoder.subdivide_xy, decoder.subdivide_z) != (1, 1),
            'decoder.subdivide_xy and subdivide_z need decoder.kind convolutions',
        )
        _refuse_if(
            is_mlp and decoder.context > 0, 'decoder.context needs decoder.kind convolutions'
        )
        _refuse_if(
            min(decoder.subdivide_xy, decoder.subdivide_z) < 1,
            'decoder.subdivide_xy or subdivide_z is less than 1',
        )

    @property
    def field_grid(self) -> NodeGrid:
        """Nodes of the field, more than those of the planes where the decoder subdivides."""
        return self.grid.subdivided(self.decoder.subdivide_xy, self.decoder.subdivide_z)


@dataclass(frozen=True)
class OutputConfig:
    """What the exported model gives."""

    grid: VoxelGrid = field(
        default_factory=lambda: VoxelGrid((-25.6, -25.6, -2.0), (25.6, 25.6, 4.4), (128, 128, 16))
    )
    """Voxels of the occupancy output, in the ego frame."""
    occupied_below_m: float = 0.0
    """A voxel is occupied if the signed distance at its centre is at most this."""
    occupied_above_opacity: float = 0.5
    """Of a density instead: if at least this share of light is lost on the length of a voxel's
    edge, at the density of its centre."""
    depth_height: int = 24
    """Rows of the depth lattice."""
    depth_width: int = 44
    """Columns of the depth lattice."""
    depth_samples: int = 64
    """Samples on each ray of the depth lattice, evenly in the logarithm of the distance."""
    depth_near_m: float = 0.8
    """Distance of the first sample."""
    depth_far_m: float = 45.0
    """Distance of the last sample at most; stands for "nothing met"."""

    def __post_init__(self) -> None:
        _refuse_if(
            not 0 < self.occupied_above_opacity < 1,
            'output.occupied_above_opacity does not lie between 0 and 1',
        )
        _refuse_if(self.depth_samples < 2, 'output.depth_samples is less than 2')
        _refuse_if(
            not 0 < self.depth_near_m < self.depth_far_m,
            'output.depth_near_m does not lie between 0 and depth_far_m',
        )


@dataclass(frozen=True)
class RenderConfig:
    """Volume rendering during training (section 2.6)."""

    rays: Literal['lattice', 'pixels'] = 'lattice'
    """``lattice``: the method's, a lattice of random stride and place in every image. ``pixels``:
    ours for small networks, single random pixels with samples evenly in log distance."""
    rows: int = 48
    """Lattice: rays along v."""
    columns: int = 100
    """Lattice: rays along u."""
    samples: int = 256
    """Samples on a ray."""
    weights: Literal['neus', 'density'] = 'neus'
    """What turns the field into opacity: signed distance (NeuS), or a plain density."""
    anneal_steps: int = 5000
    """Steps until only surfaces that a ray enters are opaque (NeuS's cosine anneal)."""
    pixel_count: int = 2048
    """Pixels: rays of a training step, over all cameras."""
    near_m: float = 0.8
    """Pixels: distance of the first sample."""
    far_m: float = 45.0
    """Pixels: distance of the last sample at most; samples end where a ray leaves the volume."""
    sharpness: Literal['learned', 'scheduled'] = 'learned'
    """``inv_s`` of NeuS: a parameter ``exp(10 v)`` from v = 0.1, or a geometric schedule."""
    sharpness_start: float = 2.718281828
    """``inv_s`` at the first step, in 1/m."""
    sharpness_end: float = 40.0
    """Scheduled: ``inv_s`` at the last step."""
    bin_sharpness: float = 0.0
    """Pixels: ``inv_s`` of a signed distance times the length of a bin is at most this; 0: it has
    no limit."""
    soft_share: float = 0.0
    """Pixels: share of the rays that see a signed distance softer, with an ``inv_s`` between the
    first step's and the present one."""
    checkpoint: bool = True
    """Render camera by camera and sample again in the backward pass instead of keeping samples:
    less memory and, on a CPU, no slower."""

    def __post_init__(self) -> None:
        _refuse_if(self.samples < 2, 'render.samples is less than 2')
        _refuse_if(self.pixel_count < 1, 'render.pixel_count is less than 1')
        _refuse_if(self.bin_sharpness < 0, 'render.bin_sharpness is negative')
        _refuse_if(not 0 <= self.soft_share <= 1, 'render.soft_share does not lie in 0..1')
        _refuse_if(
            not 0 < self.near_m < self.far_m, 'render.near_m does not lie between 0 and far_m'
        )


@dataclass(frozen=True)
class LossConfig:
    """Losses and their weights (section 3); a weight of 0 leaves the loss out."""

    photometric_form: Literal['combined', 'separate', 'reprojection', 'proposals', 'evidence'] = (
        'combined'
    )
    """``combined`` and ``separate``: MVS-embedded, the method's for surround and single cameras.
    ``reprojection``: of the rendered depth only, the baseline, for lattices and single pixels.
    ``proposals``: MVS-embedded for single pixels. ``evidence``: ours, the same as a likelihood."""
    temperature: float = 0.03
    """Evidence: by how much less cost a depth becomes e times as likely."""
    patch_steps: tuple[int, ...] = (2, 4, 8)
    """Pixels: distances in supervising pixels, powers of two, of the nine places by which
    neighbourhoods are compared; as wide are the boxes that grey values are averaged over."""
    automask: bool = True
    """Leave out pixels that match better if nothing moves; ``proposals`` and ``evidence`` always
    do."""
    photometric: float = 1.0
    """Weight of the photometric loss."""
    rgb: float = 0.1
    """Weight of rendered colour."""
    eikonal: float = 0.1
    """Weight of ``(|g| - 1)^2``."""
    hessian: float = 0.01
    """Weight of the second derivatives."""
    compact_hessian: bool = False
    """Use the [1, -2, 1] stencil for the pure second derivatives."""
    sparsity_form: Literal['soft', 'surface', 'hard', 'adaptive', 'nodes'] = 'soft'
    """``soft``: relu(-s) on a shifted lattice. ``surface``: sech^2. ``hard``: occupied share.
    ``adaptive``: behind the surface. ``nodes``: relu(-s) at every node."""
    sparsity: float = 0.0
    """Weight of sparsity."""
    smoothness: float = 0.0
    """Weight of edge-aware smoothness of depth."""
    semantic_form: Literal['cross_entropy', 'binary'] = 'cross_entropy'
    """Form of the semantic loss."""
    semantic: float = 0.0
    """Weight of semantics."""
    swept_volume: float = 0.0
    """Weight of free space where the vehicle itself drove (ours)."""

    def __post_init__(self) -> None:
        steps = self.patch_steps
        rising = all(before < after for before, after in pairwise(steps))
        _refuse_if(
            not steps or not rising or any(s < 1 or s & (s - 1) for s in steps),
            f'losses.patch_steps ({" ".join(map(str, steps))}) are not rising powers of two such '
            'as 2 4 8',
        )
        _refuse_if(self.temperature <= 0, 'losses.temperature is not positive')


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimisation (section 5)."""

    steps: int = 12 * 3516
    """Training steps, of one frame set on each device."""
    learning_rate: float = 1e-4
    """Peak of the schedule."""
    backbone_factor: float = 0.1
    """Learning rate of the backbone relative to the rest."""
    schedule: Literal['step', 'cosine'] = 'step'
    """After the warm-up: one drop by ten, or cosine."""
    drop_at: int = 9 * 3516
    """Step of the drop."""
    final_learning_rate: float = 1e-6
    """Cosine: learning rate at the last step."""
    warm_up: int = 1000
    """Steps of linear warm-up."""
    first_learning_rate: float = 1e-6
    """Learning rate at the first step of the warm-up."""
    weight_decay: float = 0.01
    """Of AdamW."""
    clip_norm: float = 35.0
    """Largest norm of the gradient."""


@dataclass(frozen=True)
class TemporalConfig:
    """Which frames supervise (section 4). Distances are driven, along the path."""

    current_share: float = 1 / 3
    """Probability that the input's own moment is the anchor, from which rays are cast."""
    previous_share: float = 1 / 3
    """Probability that an earlier moment is; the rest is for later ones."""
    nearest_m: float = 0.4
    """Shortest distance between a frame and its candidates."""
    farthest_previous_m: float = 30.0
    """Longest distance of earlier candidates."""
    farthest_next_m: float = 30.0
    """Longest distance of later candidates."""
    sources: Literal['gaussian', 'nearest', 'log_uniform'] = 'gaussian'
    """How the frames that an anchor is matched with are chosen among its candidates: around 0.5 m
    with a deviation of 0.5 m, for each camera of its own; the nearest; or at a distance drawn
    evenly in the logarithm up to ``farthest_source_m``."""
    farthest_source_m: float = 30.0
    """Longest distance between an anchor and its sources (log_uniform)."""
    both_anchors: bool = False
    """Ours: take part of the rays from the own moment and part from a neighbour in every step,
    ``current_share`` of them from the own one, instead of drawing one of the two."""
    anchor_reach: int = 2
    """With ``both_anchors``: how many frames away the neighbour may be."""
    camera_dropout: float = 0.0
    """Probability that a camera is missing from the input."""
    mirrored_share: float = 0.0
    """Ours: probability that a sample is mirrored left to right, calibration and all."""

    def __post_init__(self) -> None:
        next_share = 1 - self.current_share - self.previous_share
        if min(self.current_share, self.previous_share, next_share) < -1e-9:
            raise SelfOccError(
                f'the shares of current and previous anchors ({self.current_share:g} and '
                f'{self.previous_share:g}) must lie in 0..1 and add to at most 1'
            )
        if self.both_anchors and not 0 < self.current_share < 1:
            raise SelfOccError(
                f'with both anchors each gets a part of the rays, not {self.current_share:g} of '
                'them the own moment: set both_anchors to false for one anchor alone'
            )
        farthest_m = min(self.farthest_previous_m, self.farthest_next_m, self.farthest_source_m)
        if not 0 < self.nearest_m <= farthest_m:
            raise SelfOccError(
                f'the nearest candidate ({self.nearest_m:g} m) must lie between 0 and the '
                f'farthest ({farthest_m:g} m)'
            )


@dataclass(frozen=True)
class ValidationConfig:
    """How the losses on held-out drives are measured during training."""

    samples: int = 64
    """Samples, the same ones every time."""
    interval: int = 0
    """Steps between measurements; 0: one at every checkpoint."""

    def __post_init__(self) -> None:
        if self.samples < 1 or self.interval < 0:
            raise SelfOccError(
                '--validation.samples must be at least 1 and --validation.interval at least 0'
            )


@dataclass(frozen=True)
class Preset:
    """Everything that defines a training run but its data."""

    name: str
    """Name of the configuration."""
    summary: str = ''
    """What it is for, in one line."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network."""
    output: OutputConfig = field(default_factory=OutputConfig)
    """The exported model."""
    render: RenderConfig = field(default_factory=RenderConfig)
    """Volume rendering."""
    losses: LossConfig = field(default_factory=LossConfig)
    """Losses."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimisation."""
    temporal: TemporalConfig = field(default_factory=TemporalConfig)
    """Supervising frames."""

    def __post_init__(self) -> None:
        render, losses, decoder = self.render, self.losses, self.model.decoder
        _refuse_if(losses.rgb > 0 and not decoder.color, 'losses.rgb needs model.decoder.color')
        _refuse_if(
            losses.semantic > 0 and not decoder.classes,
            'losses.semantic needs model.decoder.class_names',
        )
        _refuse_if(render.anneal_steps < 1, 'render.anneal_steps is less than 1')
        _refuse_if(min(render.rows, render.columns) < 2, 'the lattice has less than 2 rows')
        _refuse_if(
            render.weights == 'density' and (losses.eikonal > 0 or losses.hessian > 0),
            'a density is no distance: set losses.eikonal and losses.hessian to 0',
        )
        form = losses.photometric_form
        if render.rays == 'lattice':
            _refuse_if(
                form in {'proposals', 'evidence'},
                f'losses.photometric_form {form} needs render.rays pixels',
            )
            return
        _refuse_if(
            form in {'combined', 'separate'},
            f'losses.photometric_form {form} needs render.rays lattice',
        )
        _refuse_if(not decoder.color, 'render.rays pixels needs model.decoder.color')
        _refuse_if(
            losses.smoothness > 0
            or (losses.semantic > 0 and losses.semantic_form == 'binary')
            or losses.sparsity_form == 'adaptive',
            'smoothness, binary semantics and adaptive sparsity need render.rays lattice',
        )

    @property
    def threshold(self) -> float:
        """Occupied is where the exported model's first output is at most this.

        Of a signed distance it is in metres, of a density minus an opacity
        (``training.deployed``).
        """
        output = self.output
        if self.render.weights == 'density':
            return -output.occupied_above_opacity
        return output.occupied_below_m


def _refuse_if(wrong: bool, what: str) -> None:
    if wrong:
        raise SelfOccError(f'this configuration does not fit together: {what}')
