"""The verb ``benchmark``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfocc_core.backends import Backend


@dataclass(frozen=True)
class Benchmark:
    """Measure a model on generated worlds, beside baselines that see nothing.

    Drives are rendered once and kept. Default are the test worlds, which must serve no choice:
    compare recipes with --seeds validation.

    Example: selfocc benchmark --model runs/mine.onnx --seeds validation --json scores.json
    """

    model: Path | None = None
    """Model (.onnx) with its card beside it; default: the shipped one."""
    seeds: str = 'test'
    """Worlds: train, validation, test, or numbers and ranges such as 1,2,10-19."""
    json: Path | None = None
    """File for all scores, of each world too."""
    against: list[Path] = field(default_factory=list)
    """Other models, measured among the baselines under the names of their files."""
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
        import json
        import time

        from selfocc_core.errors import SelfOccError
        from selfocc_core.files import write_atomically
        from training.benchmark.measurement import Measurement
        from training.benchmark.result import result_of
        from training.benchmark.splits import parse_seeds
        from training.benchmark.table import print_tables
        from training.benchmark.training_maps import training_maps
        from training.benchmark.worlds import WorldSettings, cached_drive

        seeds, map_seeds = parse_seeds(self.seeds), parse_seeds(self.map_seeds)
        if self.threads is not None and self.threads < 1:
            raise SelfOccError('--threads must be at least 1')
        if set(seeds) & set(map_seeds):
            raise SelfOccError(
                '--seeds and --map-seeds have worlds in common: a map must not know what it is '
                'measured on'
            )
        models = self._models()
        settings = WorldSettings()
        drives = {seed: cached_drive(seed, settings, self.cache) for seed in seeds}
        maps = training_maps(map_seeds, settings, self.cache)
        started_s = time.process_time()
        worlds = Measurement(models, maps, settings).worlds(drives)
        cpu_s = time.process_time() - started_s
        cards = {name: backend.card for name, backend in models.items()}
        result = result_of(worlds, cards, maps, settings, cpu_s)
        if self.json is not None:
            content = json.dumps(result, indent=2, allow_nan=False) + '\n'
            write_atomically(self.json, content.encode())
        print_tables(result)

    def _models(self) -> dict[str, Backend]:
        """Return the runtimes by name, the measured model first."""
        from selfocc_core.backends import open_backend
        from selfocc_core.errors import SelfOccError
        from selfocc_core.shipped_model import shipped_model
        from training.benchmark.baselines import DESCRIPTIONS

        models = {'model': open_backend(self.model or shipped_model(), self.threads)}
        for path in self.against:
            if path.stem in models or path.stem in DESCRIPTIONS:
                raise SelfOccError(f'there are two things named "{path.stem}": rename {path}')
            models[path.stem] = open_backend(path, self.threads)
        return models
