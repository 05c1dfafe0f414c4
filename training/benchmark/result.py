"""The result of a benchmark, as it is written to JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from selfocc_core import __version__
from selfocc_core.evaluation.depth import FARTHEST_M, NEAREST_M
from selfocc_core.evaluation.f_score import TOLERANCE_M
from selfocc_core.evaluation.machine import this_machine
from selfocc_core.evaluation.ray_iou import THRESHOLDS_M
from selfocc_core.model_card import ModelCard
from training.benchmark.baselines import DESCRIPTIONS
from training.benchmark.measurement import MeasuredWorld
from training.benchmark.scores import MINIMUM_PIXELS, NEAR_M, Scores, deviation_over, mean_over
from training.benchmark.splits import worlds_by_split
from training.benchmark.training_maps import TrainingMaps
from training.benchmark.views import STRIDE_PX
from training.benchmark.worlds import WorldSettings

PROTOCOL = {
    'aggregation': 'In a world, voxel and ray counts are summed before the ratios are taken, and '
    'depth errors are averaged over images. Scores are means over worlds; standard_deviation is '
    'that between worlds (n - 1).',
    'depth': f'True depth along the optical axis between {NEAREST_M:g} and {FARTHEST_M:g} m at '
    f'every pixel of a lattice of stride {STRIDE_PX} that the depth image of the model covers, '
    'metric, without median scaling. The scores at the top are those of points within the volume '
    'of the grid; above_ground are those among them that are not road, sidewalk or terrain; '
    f'everywhere includes points beyond the volume. Images with fewer than {MINIMUM_PIXELS} such '
    'pixels are left out.',
    'depth_infinity': '+Inf, where a model met nothing, counts as the depth at which the ray '
    'leaves the volume; baselines without a surface on a ray end there, too.',
    'occupancy': 'Voxels that a camera sees. Obstacles: without road, sidewalk, terrain and the '
    'voxel above and below these. Ranges are horizontal distances from the ego origin, heights '
    'those of voxel centres above the highest true ground in their column or the nearest one.',
    'calibration': 'Models named there have the threshold of best IoU of obstacles, pooled over '
    'its worlds, of which models may have seen the video. All scores of occupancy are at it.',
    'f_score_0_8m': 'Harmonic mean of precision and recall of obstacle voxels whose centre has '
    f'one of the other side within {TOLERANCE_M:g} m.',
    'semantics': 'IoU of each class in voxels that a camera sees, for models with classes of the '
    'generated world. miou is the mean over the classes that are true or predicted in a world, in '
    'three conventions: all, without_others (without "other") and without_others_and_other_flat '
    '(the same, as the generated world has no other flat ground).',
    'ray_iou': 'RayIoU (SparseOcc, arXiv 2312.17118) without classes, from the LiDAR of the rig, '
    f'mean over first hits within {", ".join(f"{t:g}" for t in THRESHOLDS_M)} m; rays whose true '
    'first hit is a voxel that a camera sees.',
}


def result_of(
    worlds: Mapping[int, MeasuredWorld],
    cards: Mapping[str, ModelCard],
    maps: TrainingMaps,
    settings: WorldSettings,
    cpu_s: float,
) -> dict[str, Any]:
    """Return the result.

    Args:
        worlds: What each world gave, by seed.
        cards: Cards of the models by name; the first is the one that is measured.
        maps: Maps of the training worlds.
        settings: What the drives are.
        cpu_s: Processor time that the measurement took.
    """
    model, *rivals = cards
    names = next(iter(worlds.values())).scores.keys()
    return {
        'model': {**_model(cards[model]), **_over_worlds(worlds, model)},
        'baselines': {
            name: {
                **(_model(cards[name]) if name in rivals else {'what': DESCRIPTIONS[name]}),
                **_over_worlds(worlds, name),
            }
            for name in names
            if name != model
        },
        'seeds': list(worlds),
        'splits': worlds_by_split(worlds),
        'worlds': {
            str(seed): {'drive_sha256': world.drive_sha256, 'moments': world.moments}
            for seed, world in worlds.items()
        },
        'settings': {
            **asdict(settings),
            'grid': asdict(settings.grid),
            'near_m': NEAR_M,
            'training_worlds': list(maps.seeds),
            'thresholds': {
                'mean_map': maps.threshold,
                'mean_map_obstacles': maps.obstacle_threshold,
            },
            'protocol': PROTOCOL,
        },
        'version': __version__,
        'machine': this_machine(),
        'cpu_s': cpu_s,
    }


def _model(card: ModelCard) -> dict[str, Any]:
    return {
        'name': card.name,
        'version': card.version,
        'sha256': card.onnx_sha256,
        'threshold': card.threshold,
    }


def _over_worlds(worlds: Mapping[int, MeasuredWorld], name: str) -> Scores:
    scores: Sequence[Scores] = [world.scores[name] for world in worlds.values()]
    return {
        **mean_over(scores),
        'standard_deviation': deviation_over(scores),
        'worlds': {str(seed): world.scores[name] for seed, world in worlds.items()},
    }
