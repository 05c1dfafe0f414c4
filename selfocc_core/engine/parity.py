"""Whether an engine computes what the model computes.

An engine may be silently wrong: some versions of TensorRT get sampling wrong, half precision may
overflow, a cached file may be another model's. So every engine is compared with the golden outputs
on the device that it runs on. Outputs that jump, such as the depth of a ray that just misses, make
a largest difference meaningless: it is counted how many values are off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from selfocc_core.backends import ModelOutputs

Precision = Literal['fp16', 'fp32', 'int8']
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
DEFAULT_PRECISION: Precision = 'fp16'


@dataclass(frozen=True)
class Tolerance:
    """How far an engine may be from the model.

    Attributes:
        off: Difference from which a value is off, as a share of the range of its output.
        share: Share of the values of an output that may be off; of classes, that may differ.
        mean: Mean difference, as a share of the range of its output.
    """

    off: float
    share: float
    mean: float


TOLERANCES: dict[Precision, Tolerance] = {
    'fp32': Tolerance(off=1e-3, share=1e-3, mean=1e-4),
    'fp16': Tolerance(off=1e-2, share=5e-3, mean=1e-3),
    'int8': Tolerance(off=5e-2, share=2e-2, mean=2e-2),
}


@dataclass(frozen=True)
class Difference:
    """How far one output is from what it must be.

    Attributes:
        name: The output.
        largest: Largest difference, as a share of the range.
        mean: Mean difference, as a share of the range.
        off: Share of the values that are off.
    """

    name: str
    largest: float
    mean: float
    off: float

    def __str__(self) -> str:
        return (
            f'{self.name} differs by {self.mean:.1e} of its range on average and '
            f'{self.largest:.1e} at most, {self.off:.2%} are off'
        )


@dataclass(frozen=True)
class Verdict:
    """What comparing came to.

    Attributes:
        differences: Of each output that could be compared.
        refusal: Why the engine is refused, in a clause; ``None`` if it is accepted.
    """

    differences: tuple[Difference, ...]
    refusal: str | None

    @property
    def accepted(self) -> bool:
        """Whether the engine may be used."""
        return self.refusal is None


def judge(expected: ModelOutputs, actual: ModelOutputs, precision: Precision) -> Verdict:
    """Compare outputs with the golden ones."""
    tolerance = TOLERANCES[precision]
    differences: list[Difference] = []
    for name in ('sdf', 'depth', 'semantics'):
        golden, computed = getattr(expected, name), getattr(actual, name)
        if golden is None:
            continue
        unusable = _unusable(name, golden, computed)
        if unusable:
            return Verdict(tuple(differences), unusable)
        difference = compare(name, golden, computed, tolerance.off)
        differences.append(difference)
        # Of classes, that have no range, only how many differ counts.
        # What is no number is within no tolerance.
        if not (difference.off <= tolerance.share and difference.mean <= tolerance.mean):
            return Verdict(tuple(differences), f'{difference}')
    return Verdict(tuple(differences), None)


def compare(name: str, expected: NDArray[Any], actual: NDArray[Any], off: float) -> Difference:
    """Return how far an output is off; of classes, of which there is no mean, what share differs.

    Args:
        name: The output.
        expected: What it must be; integers are classes.
        actual: What it is, of the same shape.
        off: Difference from which a value is off, as a share of the range.
    """
    if np.issubdtype(expected.dtype, np.integer):
        differs = float((expected != actual).mean())
        return Difference(name, float(differs > 0), 0.0, differs)
    exact = expected.astype(np.float64)  # the range of float32 may be beyond float32
    errors = np.abs(exact - actual) / (float(np.ptp(exact)) or 1.0)
    return Difference(
        name, float(errors.max()), float(errors.mean()), float((errors > off).mean())
    )


def _unusable(name: str, expected: NDArray[Any], actual: NDArray[Any] | None) -> str | None:
    """Return in a clause why an output cannot be compared."""
    if actual is None:
        return f'it gives no {name}'
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return f'its {name} is {actual.dtype} {list(actual.shape)}, not {expected.dtype} ' + str(
            list(expected.shape)
        )
    for whose, values in (('its', actual), ('the golden', expected)):
        if not np.isfinite(values).all():
            return f'{whose} {name} has values that are no numbers'
    return None
