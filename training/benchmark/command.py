"""The verb ``benchmark``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from training.benchmark.splits import CALIBRATION_SEEDS

if TYPE_CHECKING:
    from selfocc_core.backends import Backend
    from training.benchmark.calibration import Calibration
    from training.benchmark.worlds import WorldSettings


@dataclass(frozen=True)
class Benchmark:
    """Measure a model on generated worlds, beside baselines that see nothing.

    Drives are rendered once and kept. Default are the test worlds, which must serve no choice:
    compare recipes with --seeds validation.

    Example: selfocc benchmark --model runs/mine.onnx --seeds validation --json scores.json

    A checkpoint is measured without an export, so also one that learned a density:

    selfocc benchmark --model runs/mine/model.ckpt --against runs/scenerf_like/model.ckpt
    --calibrate rivals
    """

    model: Path | None = None
    """Model (.onnx) with its card beside it, or checkpoint (.ckpt); default: the shipped one."""
    seeds: str = 'test'
    """Worlds: train, validation, test, or numbers and ranges such as 1,2,10-19."""
    json: Path | None = None
    """File for all scores, of each world too."""
    against: list[Path] = field(default_factory=list)
    """Other models, measured among the baselines under the names of their files, those in files
    model.ckpt of their folders."""
    calibrate: Literal['none', 'rivals', 'all'] = 'none'
    """Whose threshold of occupancy is the one of best obstacle IoU in training worlds, found with
    their truth, instead of their own: nobody's, that of the other models in their favour, or that
    of every model."""
    calibration_seeds: str = CALIBRATION_SEEDS
    """Worlds for --calibrate."""
    cameras: list[str] = field(default_factory=list)
    """Cameras that models get, such as front front_left front_right; only what they have in their
    images is scored. Default: all."""
    cache: Path = Path('runs', 'worlds')
    """Folder for rendered drives and maps of training worlds; empty it after a change of the
    generator."""
    map_seeds: str = 'train'
    """Worlds whose truth makes the mean and median maps."""
    threads: int | None = None
    """Threads of the runtime; default: every core."""

    def run(self) -> None:
        """Measure and print.

        Raises:
            SelfOccError: An option cannot be used, or a model or drive is damaged.
        """
        import time

        from training.benchmark.measurement import Measurement
        from training.benchmark.result import result_of
        from training.benchmark.splits import parse_seeds
        from training.benchmark.table import print_tables
        from training.benchmark.training_maps import training_maps
        from training.benchmark.worlds import WorldSettings, cached_drive

        self._check()
        seeds, map_seeds = parse_seeds(self.seeds), parse_seeds(self.map_seeds)
        models, settings = self._models(), WorldSettings()
        drives = {seed: cached_drive(seed, settings, self.cache) for seed in seeds}
        maps = training_maps(map_seeds, settings, self.cache)
        started_s = time.process_time()
        calibrations = self._calibrate(models, settings)
        worlds = Measurement(models, maps, settings, self.cameras).worlds(drives)
        cpu_s = time.process_time() - started_s
        cards = {name: backend.card for name, backend in models.items()}
        result = result_of(worlds, cards, maps, settings, cpu_s)
        self._write(result | self._options(calibrations))
        print_tables(result)

    def _check(self) -> None:
        from selfocc_core.errors import SelfOccError
        from training.benchmark.splits import parse_seeds

        if self.threads is not None and self.threads < 1:
            raise SelfOccError('--threads must be at least 1')
        if self.calibrate == 'rivals' and not self.against:
            raise SelfOccError('--calibrate rivals has nothing to do: name rivals with --against')
        seeds = set(parse_seeds(self.seeds))
        if seeds & set(parse_seeds(self.map_seeds)):
            raise SelfOccError(
                '--seeds and --map-seeds have worlds in common: a map must not know what it is '
                'measured on'
            )
        if self.calibrate != 'none' and seeds & set(parse_seeds(self.calibration_seeds)):
            raise SelfOccError(
                '--seeds and --calibration-seeds have worlds in common: a threshold must not know '
                'what it is measured on'
            )

    def _calibrate(
        self, models: dict[str, Backend], settings: WorldSettings
    ) -> dict[str, Calibration]:
        """Give models the thresholds that training worlds choose."""
        from training.benchmark.calibration import Calibrated, calibrate
        from training.benchmark.splits import parse_seeds
        from training.benchmark.worlds import cached_drive

        first, *rivals = models
        chosen = {'none': [], 'rivals': rivals, 'all': [first, *rivals]}[self.calibrate]
        if not chosen:
            return {}
        drives = {
            seed: cached_drive(seed, settings, self.cache)
            for seed in parse_seeds(self.calibration_seeds)
        }
        found = {
            name: calibrate(models[name], drives, settings.grid, self.cameras) for name in chosen
        }
        for name, calibration in found.items():
            models[name] = Calibrated(models[name], calibration.threshold)
        return found

    def _options(self, calibrations: Mapping[str, Calibration]) -> dict[str, object]:
        """Return what the result says of options that change it."""
        from training.benchmark.calibration import as_json
        from training.benchmark.splits import parse_seeds

        seeds = parse_seeds(self.calibration_seeds) if calibrations else ()
        return {'cameras': self.cameras, 'calibration': as_json(calibrations, seeds)}

    def _write(self, result: Mapping[str, object]) -> None:
        import json

        from selfocc_core.files import write_atomically

        if self.json is not None:
            content = json.dumps(result, indent=2, allow_nan=False) + '\n'
            write_atomically(self.json, content.encode())

    def _models(self) -> dict[str, Backend]:
        """Return the runtimes by name, the measured model first."""
        from selfocc_core.errors import SelfOccError
        from selfocc_core.shipped_model import shipped_model
        from training.benchmark.baselines import DESCRIPTIONS
        from training.benchmark.torch_backend import model_name

        models = {'model': self._open(self.model or shipped_model())}
        taken = {*models, models['model'].card.name, *DESCRIPTIONS}
        for path in self.against:
            name = model_name(path)
            if name in taken:
                raise SelfOccError(f'there are two things named "{name}": rename {path}')
            taken.add(name)
            models[name] = self._open(path)
        return models

    def _open(self, path: Path) -> Backend:
        from selfocc_core.backends import open_backend
        from training.benchmark.torch_backend import SUFFIX, TorchBackend

        if path.suffix == SUFFIX:
            return TorchBackend(path, self.threads)
        return open_backend(path, self.threads)
