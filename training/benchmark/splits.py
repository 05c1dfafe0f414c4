"""Which generated worlds are for what. The ranges have no world in common."""

from __future__ import annotations

import re
from collections.abc import Iterable

from selfocc_core.errors import SelfOccError

SPLITS = {
    'train': range(1000, 1240),  # the drives that `make model` learns from
    'validation': range(2000, 2010),  # for choices: recipes, thresholds, when to stop
    'test': range(3000, 3020),  # for reported numbers only, never for a choice
}

# Training worlds whose truth may choose a threshold (``selfocc benchmark --calibrate``).
CALIBRATION_SEEDS = '1000-1005'

_RANGE = re.compile(r'(\d{1,9})(?:-(\d{1,9}))?')
_MAX_WORLDS = 1000


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that a text names: a split, or numbers and ranges such as ``1,2,10-19``.

    Raises:
        SelfOccError: The text is neither, names a seed twice or more than 1000 seeds.
    """
    if text in SPLITS:
        return tuple(SPLITS[text])
    seeds: list[int] = []
    for part in text.split(','):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise SelfOccError(
                f'seeds "{text}" are not understood: give {", ".join(SPLITS)}, or numbers and '
                'ranges such as 1,2,10-19'
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 <= last - first < _MAX_WORLDS:
            raise SelfOccError(f'seeds "{part}" are an empty range or more than {_MAX_WORLDS}')
        seeds += range(first, last + 1)
    if len(set(seeds)) != len(seeds) or len(seeds) > _MAX_WORLDS:
        raise SelfOccError(f'seeds "{text}" name a world twice, or more than {_MAX_WORLDS} worlds')
    return tuple(seeds)


def split_of(seed: int) -> str:
    """Return the split that a world belongs to, or ``none``."""
    return next((name for name, seeds in SPLITS.items() if seed in seeds), 'none')


def worlds_by_split(seeds: Iterable[int]) -> dict[str, int]:
    """Return how many worlds come from each split."""
    names = [split_of(seed) for seed in seeds]
    return {name: names.count(name) for name in sorted(set(names))}
