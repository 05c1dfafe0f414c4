"""Mean intersection over union of classes, in the three conventions that papers use.

On Occ3D-nuScenes with its 17 classes, papers mean by mIoU: the mean over all 17 (``all``, the
published 9.30 of SelfOcc); without "others", which the script of SelfOcc computes
(``without_others``, /16); or without "others" and "other flat", as papers whose open-vocabulary
labels never say either (``without_others_and_other_flat``, /15). Where both have an IoU of 0, the
last is 17/15 of the first, so a bare "mIoU" cannot be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError

Labels = NDArray[np.uint8]
Voxels = NDArray[np.bool_]

MIOU_NAMES = ('all', 'without_others', 'without_others_and_other_flat')


@dataclass(frozen=True)
class SemanticClasses:
    """The classes of voxels.

    Attributes:
        names: In the order of their labels.
        others: The class of what has no class of its own, if there is one.
        other_flat: The class of flat ground that is none of the other kinds, if there is one.
    """

    names: tuple[str, ...]
    others: str | None = None
    other_flat: str | None = None

    def __post_init__(self) -> None:
        unknown = {self.others, self.other_flat} - {None, *self.names}
        if unknown:
            raise SelfOccError(
                f'there is no class {", ".join(map(str, unknown))} among {", ".join(self.names)}: '
                'name one of them, or none'
            )

    @property
    def counted(self) -> Mapping[str, tuple[str, ...]]:
        """The classes over which each convention takes the mean."""
        left_out: Sequence[set[str | None]] = (
            set(), {self.others}, {self.others, self.other_flat},
        )  # fmt: skip
        return {
            convention: tuple(name for name in self.names if name not in without)
            for convention, without in zip(MIOU_NAMES, left_out, strict=True)
        }


class SemanticIou:
    """Accumulates which class was predicted where which is true, over many moments.

    Attributes:
        classes: The classes.
        counts: Voxels by true class (rows) and predicted class (columns) ``[C + 1, C + 1]``; the
            last row and column are free space.
    """

    def __init__(self, classes: SemanticClasses) -> None:
        self.classes = classes
        size = len(classes.names) + 1
        self.counts = np.zeros((size, size), np.int64)

    def add(
        self,
        predicted: Labels,
        predicted_occupied: Voxels,
        true: Labels,
        true_occupied: Voxels,
        mask: Voxels,
    ) -> None:
        """Take a moment; all arguments ``[X, Y, Z]``.

        Args:
            predicted: Predicted class, read where occupied.
            predicted_occupied: What is predicted to be occupied.
            true: True class, read where occupied.
            true_occupied: What is occupied.
            mask: Voxels that count, such as those that a camera sees.

        Raises:
            SelfOccError: The label of an occupied voxel is no class.
        """
        size = len(self.counts)
        truth = self._with_free('true', true, true_occupied, mask)
        said = self._with_free('predicted', predicted, predicted_occupied, mask)
        pairs = np.bincount(truth * size + said, minlength=size * size)
        self.counts += pairs.reshape(size, size)

    def _with_free(
        self, what: str, labels: Labels, occupied: Voxels, mask: Voxels
    ) -> NDArray[np.int64]:
        """Return the class of each voxel that counts ``[P]``, one more than the last for free."""
        free = len(self.classes.names)
        found = labels[mask & occupied]
        if len(found) and found.max() >= free:
            raise SelfOccError(
                f'a {what} voxel has the label {found.max()} but there are {free} classes: are '
                'labels and classes of the same list?'
            )
        return np.where(occupied[mask], labels[mask], free).astype(np.int64)

    def per_class(self) -> dict[str, float | None]:
        """Return the IoU of each class; ``None`` where it is neither true nor predicted."""
        hits = np.diag(self.counts)
        unions = self.counts.sum(0) + self.counts.sum(1) - hits
        return {
            name: float(hits[index] / unions[index]) if unions[index] else None
            for index, name in enumerate(self.classes.names)
        }

    def summary(self) -> dict[str, Any]:
        """Return ``miou`` in each convention and ``per_class``.

        A mean is over the classes of its convention that are true or predicted anywhere, and
        ``None`` if none is. So that the conventions keep their numbers of classes, count "others"
        of the truth as a class, even if the prediction has none: merging it into free space, as
        the script of SelfOcc does, leaves the IoU of all other classes as it is.
        """
        of_classes = self.per_class()
        return {
            'miou': {
                convention: _mean([of_classes[name] for name in names])
                for convention, names in self.classes.counted.items()
            },
            'per_class': of_classes,
        }


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None
