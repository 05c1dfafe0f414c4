"""What a kernel is compiled for: every size is a constant in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from selfocc_core.errors import SelfOccError

Operator = Literal['MSDeformAttn', 'SurroundDeformAttn']
Precision = Literal['float16', 'float32']

# On a multiprocessor of 65536 registers: 64 for each thread, and the compiler spills none.
THREADS_PER_BLOCK, BLOCKS_PER_PROCESSOR = 256, 4
_BYTES = {'float16': 2, 'float32': 4}
_WIDEST_LOAD_BYTES = 16
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Specialization:
    """Operator, sizes and types of one kernel.

    Attributes:
        operator: Name of the operator.
        precision: Type of values and result.
        levels: Height and width of each level.
        images: Batch of ``MSDeformAttn``, cameras of ``SurroundDeformAttn``.
        queries: Queries (of each item of the batch).
        heads: Attention heads.
        channels: Channels of a head.
        points: Samples of a query in each level.
        references: ``SurroundDeformAttn`` only: 1 if all levels share their reference points,
            otherwise the number of levels.
        weights: ``MSDeformAttn`` only: type of the weights.
    """

    operator: Operator
    precision: Precision
    levels: tuple[tuple[int, int], ...]
    images: int
    queries: int
    heads: int
    channels: int
    points: int
    references: int = 1
    weights: Precision = 'float32'

    def __post_init__(self) -> None:
        sizes = (self.images, self.queries, self.heads, self.channels, self.points)
        if not self.levels or min(*sizes, *(min(level) for level in self.levels)) < 1:
            raise SelfOccError(f'{self.operator} needs sizes of at least 1, not {self}')
        if self.references not in {1, len(self.levels)}:
            raise SelfOccError(
                f'{self.operator} takes reference points of 1 or of all {len(self.levels)} '
                f'levels, not of {self.references}'
            )
        if max(self.tokens * self.heads * self.channels, self.threads) > _LARGEST:
            raise SelfOccError(f'{self.operator} counts to 2^31 only: too much for {self}')

    @property
    def tokens(self) -> int:
        """Tokens of all levels of one image."""
        return sum(height * width for height, width in self.levels)

    @property
    def channels_per_thread(self) -> int:
        """Neighbouring channels that one thread reads at once, in up to 16 bytes."""
        widest = _WIDEST_LOAD_BYTES // _BYTES[self.precision]
        return next(width for width in (8, 4, 2, 1)
                    if width <= widest and self.channels % width == 0)  # fmt: skip

    @property
    def threads(self) -> int:
        """Threads that have work."""
        batch = self.images if self.operator == 'MSDeformAttn' else 1
        return batch * self.queries * self.heads * (self.channels // self.channels_per_thread)

    @property
    def blocks(self) -> int:
        """Blocks of ``THREADS_PER_BLOCK`` threads to launch."""
        return -(-self.threads // THREADS_PER_BLOCK)

    @property
    def kernel(self) -> str:
        """Name of the kernel in the compiled file."""
        return 'ms_deform_attn' if self.operator == 'MSDeformAttn' else 'surround_deform_attn'

    def to_json(self) -> str:
        """Return all attributes, for an engine file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Specialization:
        """Read what ``to_json`` wrote.

        Raises:
            SelfOccError: It is something else.
        """
        try:
            attributes = json.loads(text)
            attributes['levels'] = tuple((int(h), int(w)) for h, w in attributes['levels'])
            return cls(**attributes)
        except (ValueError, TypeError, KeyError) as error:
            raise SelfOccError(
                f'the engine holds a plugin of another version ({error}): build it again'
            ) from error


def levels_from(spatial_shapes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return heights and widths from the attribute ``spatial_shapes`` [h0, w0, h1, w1, ...].

    Raises:
        SelfOccError: It is empty or not made of pairs.
    """
    if not len(spatial_shapes) or len(spatial_shapes) % 2:
        raise SelfOccError(
            f'spatial_shapes must be pairs of height and width, not {list(spatial_shapes)}: '
            'export the model again'
        )
    return tuple(zip(map(int, spatial_shapes[::2]), map(int, spatial_shapes[1::2]), strict=True))
