"""Runs models and baselines through the worlds of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfocc_core.backends import Backend
from selfocc_core.cameras import Rig
from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.ray_iou import TrueHits
from selfocc_core.files import sha256_of
from selfocc_core.progress import track
from training.benchmark.baselines import baselines
from training.benchmark.predictions import ModelPredictor, Prediction
from training.benchmark.recorded import RecordedWorld, read_world, seen_by
from training.benchmark.scores import Scores, WorldScores
from training.benchmark.training_maps import TrainingMaps
from training.benchmark.worlds import WorldSettings
from training.data.synthetic.lidar import ego_from_lidar


@dataclass(frozen=True)
class MeasuredWorld:
    """What one world gave.

    Attributes:
        drive_sha256: Hash of its drive.
        moments: Number of moments scored.
        scores: Scores of the model, the baselines and the rivals, by name.
    """

    drive_sha256: str
    moments: int
    scores: Mapping[str, Scores]


class Measurement:
    """A model, its baselines and its rivals.

    Args:
        models: Runtimes by name. The depth image of the first says which pixels are compared.
        maps: Maps of training worlds.
        settings: What the drives are.
        cameras: Those that models get; none: all.
    """

    def __init__(
        self,
        models: Mapping[str, Backend],
        maps: TrainingMaps,
        settings: WorldSettings,
        cameras: Sequence[str] = (),
    ) -> None:
        self._models, self._settings, self._grid = models, settings, settings.grid
        self._cameras = cameras
        self._baselines = baselines(settings.rig(), self._grid, maps)
        self._lidar_m = ego_from_lidar()[:3, 3]

    def worlds(self, drives: Mapping[int, Path]) -> dict[int, MeasuredWorld]:
        """Measure all drives, given by seed.

        Raises:
            SelfOccError: A drive is damaged, was recorded with other cameras or has no truth.
        """
        return {
            seed: self.world(path)
            for seed, path in track(list(drives.items()), 'Measuring', total=len(drives))
        }

    def world(self, path: Path) -> MeasuredWorld:
        """Measure one drive."""
        recorded = read_world(path, self._grid)
        _check_rig(path, recorded, self._settings.rig())
        recorded = seen_by(recorded, self._cameras, self._grid)
        predictors = {
            name: ModelPredictor(backend, recorded.rig, recorded.trajectory, self._grid)
            for name, backend in self._models.items()
        }
        scores = {
            name: WorldScores(recorded.rig, self._grid)
            for name in (*self._models, *self._baselines)
        }
        for moment in recorded.moments:
            hits = TrueHits.of(moment.truth.occupancy, self._grid, self._lidar_m)
            predictions: dict[str, Prediction] = {
                **{name: model.predict(moment.frame_set) for name, model in predictors.items()},
                **self._baselines,
            }
            covered = dict(next(iter(predictions.values())).covered)
            for name, prediction in predictions.items():
                scores[name].add(prediction, moment.truth, hits, covered)
        summaries = {name: of_name.summary() for name, of_name in scores.items()}
        return MeasuredWorld(sha256_of(path), len(recorded.moments), summaries)


def _check_rig(path: Path, recorded: RecordedWorld, rig: Rig) -> None:
    if _sizes(recorded.rig) != _sizes(rig) or not recorded.moments:
        raise SelfOccError(
            f'drive {path} has other cameras than the benchmark, or no moment with a truth: '
            'remove it, so that it is rendered anew'
        )


def _sizes(rig: Rig) -> Sequence[tuple[str, int, int]]:
    return [(camera.name, camera.width, camera.height) for camera in rig]
