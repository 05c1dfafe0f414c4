"""From the shapes and types of an operator's inputs to the kernel that it needs."""

from __future__ import annotations

from collections.abc import Sequence

from selfocc_core.errors import SelfOccError
from selfocc_core.plugin.specialization import Operator, Precision, Specialization

Shape = Sequence[int]


def specialization_of(
    operator: Operator,
    levels: tuple[tuple[int, int], ...],
    shapes: Sequence[Shape],
    types: Sequence[str],
) -> Specialization:
    """Return the kernel for some inputs.

    Args:
        operator: Name of the operator.
        levels: Height and width of each level.
        shapes: Of the inputs, in the operator's order, without dynamic dimensions (-1).
        types: Of the inputs, as NumPy names them.

    Raises:
        SelfOccError: The inputs do not fit each other or the levels, or types are not supported.
    """
    precision = _precision(operator, 'value', types[0])
    if operator == 'MSDeformAttn':
        weights = _precision(operator, 'weights', types[2])
        found = _ms_deform_attn(levels, shapes, precision, weights)
    else:
        found = _surround_deform_attn(levels, shapes, precision)
    _require(operator, shapes, expected_shapes(found))
    if list(types) != expected_types(found):
        raise SelfOccError(
            f'{operator} takes inputs of {expected_types(found)}, not of {list(types)}: build the '
            'engine again'
        )
    return found


def expected_shapes(kernel: Specialization) -> list[tuple[int, ...]]:
    """Return the shapes of the inputs of a kernel, in the operator's order."""
    levels, images, queries = len(kernel.levels), kernel.images, kernel.queries
    heads, points = kernel.heads, kernel.points
    value = (images, kernel.tokens, heads, kernel.channels)
    if kernel.operator == 'MSDeformAttn':
        weights = (images, queries, heads, levels, points)
        return [value, (*weights, 2), weights]
    return [
        value,
        (images, queries, kernel.references, points, 2),
        (images, queries),
        (queries, heads, levels, points, 2),
        (queries, heads, levels * points),
    ]


def expected_types(kernel: Specialization) -> list[str]:
    """Return the types of the inputs of a kernel, in the operator's order, as NumPy names them."""
    if kernel.operator == 'MSDeformAttn':
        return [kernel.precision, 'float32', kernel.weights]
    return [kernel.precision, 'float32', 'int32', 'float32', 'float32']


def attended_shape(kernel: Specialization) -> tuple[int, ...]:
    """Return the shape of a kernel's result."""
    batch = (kernel.images,) if kernel.operator == 'MSDeformAttn' else ()
    return (*batch, kernel.queries, kernel.heads * kernel.channels)


def _ms_deform_attn(
    levels: tuple[tuple[int, int], ...],
    shapes: Sequence[Shape],
    precision: Precision,
    weights: Precision,
) -> Specialization:
    value, locations = _ranked('MSDeformAttn', shapes, (4, 6, 5))[:2]
    return Specialization(
        operator='MSDeformAttn',
        precision=precision,
        levels=levels,
        images=value[0],
        queries=locations[1],
        heads=value[2],
        channels=value[3],
        points=locations[4],
        weights=weights,
    )


def _surround_deform_attn(
    levels: tuple[tuple[int, int], ...], shapes: Sequence[Shape], precision: Precision
) -> Specialization:
    value, references = _ranked('SurroundDeformAttn', shapes, (4, 5, 2, 5, 3))[:2]
    return Specialization(
        operator='SurroundDeformAttn',
        precision=precision,
        levels=levels,
        images=value[0],
        queries=references[1],
        heads=value[2],
        channels=value[3],
        points=references[3],
        references=references[2],
    )


def _ranked(
    operator: Operator, shapes: Sequence[Shape], ranks: tuple[int, ...]
) -> Sequence[Shape]:
    if tuple(map(len, shapes)) != ranks:
        raise SelfOccError(
            f'{operator} takes {len(ranks)} inputs of {ranks} dimensions, not of shapes '
            f'{[tuple(shape) for shape in shapes]}: export the model again'
        )
    return shapes


def _require(operator: str, shapes: Sequence[Shape], expected: Sequence[Shape]) -> None:
    given = [tuple(shape) for shape in shapes]
    if given != expected:
        raise SelfOccError(
            f'the inputs of {operator} have shapes {given} where {expected} would fit each other: '
            'export the model again, with static shapes'
        )


def _precision(operator: str, name: str, found: str) -> Precision:
    if found == 'float16':
        return 'float16'
    if found == 'float32':
        return 'float32'
    raise SelfOccError(f'{operator} takes a {name} of float16 or float32, not of {found}')
