"""Occupancy and classes of voxels: IoU, and mean IoU in the three conventions that papers use.

On Occ3D-nuScenes with its 17 classes, papers mean by mIoU: the mean over all 17 (``all``, the
published 9.30 of SelfOcc); without "others", which the script of SelfOcc computes
(``without_others``, /16); or without "others" and "other flat", as papers whose open-vocabulary
labels never say either (``without_others_and_other_flat``, /15). Where both have an IoU of 0, the
last is 17/15 of the first, so a bare "mIoU" cannot be compared. A class that is neither true nor
predicted anywhere is left out of the mean on Occ3D, and counts as 0 on SemanticKITTI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.evaluation.accumulation import Accumulator, Frame, Numbers, Summary, mean, ratio
from selfocc_core.evaluation.occupancy import Confusion, Voxels

Labels = NDArray[np.uint8]
Absent = Literal['left_out', 'zero']

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


class SemanticIou(Accumulator):
    """Accumulates which class was predicted where which is true, over many moments.

    Args:
        classes: The classes.
        absent: What a class counts in a mean that is neither true nor predicted anywhere.
    """

    def __init__(self, classes: SemanticClasses, absent: Absent = 'left_out') -> None:
        super().__init__()
        self.classes, self._absent = classes, absent

    @property
    def settings(self) -> object:
        """Classes, and what absent ones count."""
        return self.classes, self._absent

    def add(
        self,
        predicted: Labels,
        predicted_occupied: Voxels,
        true: Labels,
        true_occupied: Voxels,
        mask: Voxels,
        regions: Mapping[str, Voxels] | None = None,
        frame: Frame | None = None,
    ) -> None:
        """Take a moment; voxels are ``[X, Y, Z]``.

        Args:
            predicted: Predicted class, read where occupied.
            predicted_occupied: What is predicted to be occupied.
            true: True class, read where occupied.
            true_occupied: What is occupied.
            mask: Voxels that count, such as those that a camera sees.
            regions: Voxels that are also scored by themselves, such as rings.
            frame: Drive and stamp of the moment.

        Raises:
            SelfOccError: The label of an occupied voxel is no class.
        """
        frame = self._frame(frame)
        size = len(self.classes.names) + 1
        truth = self._with_free('true', true, true_occupied, mask)
        said = self._with_free('predicted', predicted, predicted_occupied, mask)
        pairs = truth * size + said
        for place, region in {'': mask, **(regions or {})}.items():
            counts = np.bincount(pairs[region[mask]], minlength=size * size)
            self.statistics.add(frame, place, counts.reshape(size, size))

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

    def _per_class(self, counts: Numbers) -> dict[str, float | None]:
        hits = np.diag(counts)
        unions = counts.sum(0) + counts.sum(1) - hits
        return {
            name: ratio(hits[index], unions[index])
            for index, name in enumerate(self.classes.names)
        }

    def summary_of(self, totals: Mapping[str, Numbers]) -> Summary:
        """Return ``iou``, ``precision`` and ``recall`` of occupancy, ``miou`` and ``per_class``.

        ``miou`` has each convention: the mean over its classes that are true or predicted
        anywhere, ``None`` if none is. So that the conventions keep their numbers of classes, count
        "others" of the truth as a class, even if the prediction has none: merging it into free
        space, as the script of SelfOcc does, leaves the IoU of all other classes as it is. The
        occupancy IoU that this script gives is ``iou_others_free``.

        Where regions were scored, ``by_region`` has the same of each.
        """
        size = len(self.classes.names) + 1
        everything = self._of_counts(totals.get('', np.zeros((size, size))))
        by_region = {name: self._of_counts(counts) for name, counts in totals.items() if name}
        return {**everything, 'by_region': by_region} if by_region else everything

    def _of_counts(self, counts: Numbers) -> Summary:
        of_classes = self._per_class(counts)
        miou = {
            convention: mean([self._counted(of_classes[name]) for name in names])
            if counts.any()
            else None
            for convention, names in self.classes.counted.items()
        }
        occupancy = _occupancy(counts).ratios()
        if self.classes.others is not None:
            others = self.classes.names.index(self.classes.others)
            occupancy['iou_others_free'] = _occupancy(_freed(counts, others)).ratios()['iou']
        return {**occupancy, 'miou': miou, 'per_class': of_classes}

    def _counted(self, iou: float | None) -> float | None:
        return 0.0 if iou is None and self._absent == 'zero' else iou


def _occupancy(counts: Numbers) -> Confusion:
    """Return what is left of a confusion of classes without the classes."""
    return Confusion(counts[:-1, :-1].sum(), counts[-1, :-1].sum(), counts[:-1, -1].sum())


def _freed(counts: Numbers, label: int) -> Numbers:
    """Return the confusion if a class of the truth is free space."""
    freed: Numbers = counts.copy()
    freed[-1] += freed[label]
    freed[label] = 0
    return freed
