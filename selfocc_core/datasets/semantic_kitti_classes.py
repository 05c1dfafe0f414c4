"""The classes of SemanticKITTI in those of this project.

The numbers are those of the label files (the dataset's ``semantic-kitti.yaml``); of what moves
there are numbers of its own. Whoever rides a bicycle or a motorcycle counts as the vehicle, as in
nuScenes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.semantics import CLASS_NAMES

NO_CLASS = 255

_UNLABELLED, _OUTLIER = 0, 1
_NUMBERS: dict[str, tuple[int, ...]] = {
    'road': (40, 44, 60),  # road, parking, lane marking
    'sidewalk': (48,),
    'terrain': (49, 72),  # other ground, terrain
    'building': (50, 52),  # building, other structure
    'vegetation': (70, 71),  # vegetation, trunk
    'pole': (80, 81),  # pole, traffic sign
    'pedestrian': (30, 254),
    'vehicle': (
        10, 11, 13, 15, 16, 18, 20, 31, 32,  # car ... on rails, truck, other, riders
        252, 253, 255, 256, 257, 258, 259,  # the same, moving
    ),
    'other': (51, 99),  # fence, other object
}  # fmt: skip
# What has no class in the benchmark of the dataset, and is not scored there.
_NOT_SCORED = (_OUTLIER, 52, 99)

_UNKNOWN = 254
_LAST = 259


def _table() -> NDArray[np.uint8]:
    table = np.full(_LAST + 2, _UNKNOWN, np.uint8)
    table[[_UNLABELLED, _OUTLIER]] = NO_CLASS
    for name, numbers in _NUMBERS.items():
        table[list(numbers)] = CLASS_NAMES.index(name)
    return table


_CLASS_OF_NUMBER = _table()


def classes_of(numbers: NDArray[np.integer], path: Path) -> NDArray[np.uint8]:
    """Return the class of each number, an index into ``CLASS_NAMES``, or ``NO_CLASS``.

    Args:
        numbers: Numbers of the label file ``[...]``, without those of instances.
        path: The file that they are of.

    Raises:
        SelfOccError: A number is none of the dataset.
    """
    classes = _CLASS_OF_NUMBER[np.minimum(numbers, _LAST + 1)]
    if (classes == _UNKNOWN).any():
        number = int(numbers[classes == _UNKNOWN].flat[0])
        raise SelfOccError(f'labels {path} have the class {number}, which SemanticKITTI has not')
    return np.asarray(classes, np.uint8)


def is_scored(numbers: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which voxels the benchmark scores: the empty ones and those with a class of its."""
    return np.isin(numbers, _NOT_SCORED, invert=True)
