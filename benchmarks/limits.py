"""What keeps a model from being perfect: the grid of its field, and what the video can tell.

    python -m benchmarks.limits --seeds validation --video-seeds 1000,1007

*Grid*: a field made from the truth takes the place of the network; voxels and depth are read from
it as from a model. *Place*: the true obstacles a little too far away or too near, and nothing else
wrong: what IoU a depth error costs. *Video*: for each pixel, the depth that matches neighbouring
frames best, as the training loss matches them, against the true depth. A network that merely
learns what the video says pixel by pixel gets there; one that also learns what streets look like
may do better.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.evaluation.depth import FARTHEST_M, NEAREST_M, project
from selfocc_core.evaluation.machine import this_machine
from selfocc_core.evaluation.occupancy import GROUND_CLASSES, OccupancyTruth, Voxels
from selfocc_core.evaluation.ray_iou import TrueHits
from selfocc_core.model_card import ModelCard
from selfocc_core.progress import track
from selfocc_core.semantics import CLASS_NAMES
from selfocc_core.voxels import VoxelGrid
from training.benchmark.predictions import ModelPredictor
from training.benchmark.recorded import RecordedWorld, read_world
from training.benchmark.scores import (
    DEPTH_METRICS,
    NEAR_M,
    Scores,
    WorldScores,
    image_errors,
    mean_over,
)
from training.benchmark.splits import parse_seeds
from training.benchmark.views import ego_points
from training.benchmark.worlds import WorldSettings, cached_drive
from training.checkpoint import Checkpoint
from training.config import Preset
from training.data.bag import read_clips
from training.data.clip import Clip
from training.data.synthetic.drive import DriveConfig, render_drive
from training.data.synthetic.lidar import ego_from_lidar
from training.deployed import DeployedModel
from training.export import card_of
from training.field import Field
from training.losses.matching import appearance_of, target_of
from training.losses.proposals import Source, proposal_costs
from training.presets import PRESETS
from training.rendering.edge_render import along
from training.rendering.rays import cast_rays, log_spaced_distances

DEPTHS = 97
# Shares of their distance by which obstacles are moved.
MOVES = (0.02, 0.05, 0.1)
# Edges of the bands of true depth that matches are scored in.
BANDS_M = (0, 3, 5, 8, 12, 18, 26, 40)
Floats = NDArray[np.float64]


def main() -> None:
    """Measure the limits and print them."""
    options = _options()
    preset = PRESETS['selfocc-tiny']
    print(this_machine())
    result = {
        'grid': grid_limit(preset, parse_seeds(options.seeds), options.cache),
        'place': place_limit(parse_seeds(options.seeds), options.cache),
        'video': video_limit(preset, parse_seeds(options.video_seeds)),
    }
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + '\n')


class TrueField(nn.Module):
    """Stands where the network does and returns the field that was put there."""

    def __init__(self) -> None:
        super().__init__()
        self.field: Field | None = None

    def forward(self, images: Tensor, image_from_ego: Tensor, camera_mask: Tensor) -> list[Field]:
        """Return the field, whatever the images show."""
        if self.field is None:
            raise AssertionError('the field is set before the model runs')
        return [self.field]


class TrueFieldBackend:
    """A runtime whose network knows the truth.

    Attributes:
        network: Where the truth of the moment is put.
        card: Card of the preset.
    """

    name = 'truth'

    def __init__(self, preset: Preset) -> None:
        self.network = TrueField()
        self._model = DeployedModel(self.network, preset).eval()  # type: ignore[arg-type]
        self.card = card_of_preset(preset)

    @torch.no_grad()
    def infer(self, inputs: ModelInputs) -> ModelOutputs:
        """Read voxels and depth from the field."""
        tensors = inputs.images, inputs.image_from_ego, inputs.camera_mask
        outputs = self._model(*(torch.from_numpy(np.ascontiguousarray(t)) for t in tensors))
        return ModelOutputs(*(output.numpy() for output in outputs))


def card_of_preset(preset: Preset) -> ModelCard:
    """Return the card that a model of the preset has."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / 'none'
        weights.touch()
        return card_of(Checkpoint(preset, 0, 0, '', 'the truth', {}, {}), weights, preset.name)


def grid_limit(preset: Preset, seeds: Sequence[int], cache: Path) -> Scores:
    """Score fields made from the truth on the worlds of a benchmark."""
    settings = WorldSettings()
    backend = TrueFieldBackend(preset)
    worlds = []
    for seed in track(seeds, 'Grid', total=len(seeds)):
        world = read_world(cached_drive(seed, settings, cache), settings.grid)
        worlds.append(_world_scores(world, backend, preset, settings.grid))
    return mean_over(worlds)


def _world_scores(
    world: RecordedWorld, backend: TrueFieldBackend, preset: Preset, grid: VoxelGrid
) -> Scores:
    predictor = ModelPredictor(backend, world.rig, world.trajectory, grid)
    scores, lidar_m = WorldScores(world.rig, grid), ego_from_lidar()[:3, 3]
    for moment in world.moments:
        occupancy = moment.truth.occupancy
        backend.network.field = true_field(occupancy, grid, preset)
        prediction = predictor.predict(moment.frame_set)
        hits = TrueHits.of(occupancy, grid, lidar_m)
        scores.add(prediction, moment.truth, hits, dict(prediction.covered))
    return scores.summary()


def true_field(truth: OccupancyTruth, grid: VoxelGrid, preset: Preset) -> Field:
    """Return the distance to the border of what is seen free, at the nodes of the preset.

    What no camera sees counts as solid, which is as good as any guess: it is not scored.
    """
    free = truth.visible & ~truth.occupied
    outside = ndimage.distance_transform_edt(free, sampling=grid.voxel_size_m)
    inside = ndimage.distance_transform_edt(~free, sampling=grid.voxel_size_m)
    half_m = 0.5 * min(grid.voxel_size_m)
    distance_m = np.where(free, outside - half_m, half_m - inside)
    nodes = preset.model.field_grid
    positions = nodes.node_positions().double().numpy()
    index = (positions - grid.minimum_m) / grid.voxel_size_m - 0.5
    sdf = ndimage.map_coordinates(distance_m, np.moveaxis(index, -1, 0), order=1, mode='nearest')
    return Field(torch.from_numpy(sdf).float()[None], nodes, color_channels=0)


def place_limit(seeds: Sequence[int], cache: Path) -> dict[str, dict[str, float]]:
    """Score true obstacles that are misplaced by a share of their distance, away and nearer.

    Returns:
        For each share the mean over both ways of the IoU of obstacles, and of those within 12.8 m,
        with counts pooled over all worlds.
    """
    settings = WorldSettings()
    worlds = [read_world(cached_drive(seed, settings, cache), settings.grid) for seed in seeds]
    truths = [moment.truth.occupancy for world in worlds for moment in world.moments]
    x, y = np.meshgrid(*(settings.grid.axis_centers(axis) for axis in (0, 1)), indexing='ij')
    near = (np.hypot(x, y) < NEAR_M)[..., None]
    result = {}
    for share in MOVES:
        moved = [
            [misplaced(truth.obstacles, settings.grid, factor) for truth in truths]
            for factor in (1 + share, 1 - share)
        ]
        result[f'{share:.0%}'] = {
            'iou_obstacles': float(np.mean([pooled_iou(truths, way, True) for way in moved])),
            f'iou_obstacles_0-{NEAR_M}_m': float(
                np.mean([pooled_iou(truths, way, near) for way in moved])
            ),
        }
    return result


def misplaced(obstacles: Voxels, grid: VoxelGrid, factor: float) -> Voxels:
    """Return obstacles ``[X, Y, Z]`` at ``factor`` times their distance from the vehicle."""
    centers = grid.centers()
    back = centers / np.array([factor, factor, 1.0])
    ijk, inside = grid.indices(back)
    return np.asarray(obstacles[tuple(np.moveaxis(ijk, -1, 0))] & inside, bool)


def pooled_iou(
    truths: Sequence[OccupancyTruth], predicted: Sequence[Voxels], where: NDArray[np.bool_] | bool
) -> float:
    """Return the IoU of predicted obstacles in the scored voxels, or in part of them."""
    hits = claims = 0
    for truth, obstacles in zip(truths, predicted, strict=True):
        domain, true = truth.obstacle_domain & where, truth.obstacles
        hits += int(np.count_nonzero(true & obstacles & domain))
        claims += int(np.count_nonzero((true | obstacles) & domain))
    return hits / claims


class Matches(NamedTuple):
    """The best matches of the pixels of one image whose truth lies within the volume.

    Attributes:
        best_m: Depth that matches best ``[P]``.
        true_m: True depth ``[P]``.
        label: Class ``[P]``.
    """

    best_m: Floats
    true_m: Floats
    label: NDArray[np.uint8]


def video_limit(preset: Preset, seeds: Sequence[int]) -> dict[str, Any]:
    """Score the best-matching depth of each pixel on drives with truth and motion.

    Returns:
        The mean over images of each error; and of what stands above the ground, by distance, the
        errors over all pixels.
    """
    images = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in track(seeds, 'Video', total=len(seeds)):
            path = Path(folder) / f'{seed}.mcap'
            render_drive(DriveConfig(seed, 2.0, 352, 198, lidar=False), path)
            images += list(_matches_of_drive(path, preset))
    errors = [image_errors(image.best_m, image.true_m) for image in images]
    means = {name: float(np.mean([image[name] for image in errors])) for name in DEPTH_METRICS}
    return {'images': len(images), **means, 'above_ground': above_ground_by_distance(images)}


def above_ground_by_distance(images: Sequence[Matches]) -> dict[str, dict[str, float]]:
    """Return errors of the pixels above the ground, in bands of their true depth."""
    best_m, true_m, label = (np.concatenate(values) for values in zip(*images, strict=True))
    ground = [CLASS_NAMES.index(name) for name in GROUND_CLASSES]
    bands = {}
    for low_m, high_m in pairwise(BANDS_M):
        chosen = ~np.isin(label, ground) & (true_m >= low_m) & (true_m < high_m)
        if chosen.any():
            errors = image_errors(best_m[chosen], true_m[chosen])
            bands[f'{low_m:g}-{high_m:g} m'] = {'pixels': float(chosen.mean()), **errors}
    return bands


def _matches_of_drive(path: Path, preset: Preset) -> Iterator[Matches]:
    """Yield the best matches in every image with truth that has sources."""
    grid = WorldSettings().grid
    world = read_world(path, grid)
    (clip,) = read_clips(path, preset.model.input)
    for moment in world.moments:
        (frame,) = np.flatnonzero(clip.stamps_ns == moment.frame_set.stamp_ns)
        sources = _sources(clip, int(frame), preset)
        if len(sources) < 2:
            continue
        for index, name in enumerate(world.rig.names):
            view, camera = moment.truth.views[name], world.rig[name]
            points = ego_points(camera, np.where(np.isfinite(view.depth_m), view.depth_m, 0))
            scored = (view.depth_m >= NEAREST_M) & (view.depth_m <= FARTHEST_M)
            scored &= grid.indices(points)[1]
            homogeneous = np.append(points[scored], np.ones((int(scored.sum()), 1)), 1)
            pixels = project(homogeneous, clip.supervision_from_ego[index])
            best_m = best_depths(clip, int(frame), index, pixels, sources, preset)
            if len(best_m):
                yield Matches(best_m, view.depth_m[scored].astype(np.float64), view.label[scored])


def _sources(clip: Clip, frame: int, preset: Preset) -> list[int]:
    """Return the frames before and after that are nearest to the geometric mean distance."""
    temporal, driven_m = preset.temporal, clip.driven_m()
    wanted_m = float(np.sqrt(temporal.nearest_m * temporal.farthest_source_m))
    found = []
    for side in (-1, 1):
        distance_m = side * (driven_m - driven_m[frame])
        candidates = np.flatnonzero(distance_m >= temporal.nearest_m)
        if len(candidates):
            found.append(int(candidates[np.abs(distance_m[candidates] - wanted_m).argmin()]))
    return found


@torch.no_grad()
def best_depths(
    clip: Clip, frame: int, camera: int, pixels: Floats, sources: Sequence[int], preset: Preset
) -> Floats:
    """Return the depth ``[P]`` at which pixels ``[P, 2]`` match the sources best."""
    cameras = torch.zeros(len(pixels), dtype=torch.long)

    def source(other: int) -> Source:
        image = torch.from_numpy(clip.supervision_images[other, camera][None])
        look = appearance_of(image.permute(0, 3, 1, 2).float() / 255, preset.losses.patch_steps)
        frames = np.full(clip.images.shape[1], other)
        projection = clip.supervision_image_from_ego(frames, frame)[camera]
        return Source(look, cameras, torch.from_numpy(projection).expand(len(pixels), 3, 4))

    own = source(frame)
    places = torch.from_numpy(pixels).float()
    rays = cast_rays(places, own.image_from_ego)
    depths = log_spaced_distances(preset.render.near_m, preset.render.far_m, DEPTHS)
    proposals = proposal_costs(
        target_of(own.appearance, cameras, places),
        places,
        along(rays, depths.expand(len(pixels), -1)),
        [source(other) for other in sources],
    )
    return depths[proposals.costs.argmin(1)].double().numpy()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', default='validation', help='worlds for the grid')
    parser.add_argument('--video-seeds', default='1000,1007', help='worlds for the video')
    parser.add_argument('--cache', type=Path, default=Path('runs', 'worlds'))
    parser.add_argument('--json', type=Path, help='file for the numbers')
    return parser.parse_args()


if __name__ == '__main__':
    main()
