"""Deformable attention as operators of an ONNX domain of ours, with bodies of standard operators.

``MSDeformAttn`` is the operator that others have, too (Zhu et al. 2021); a model file holds
``SurroundDeformAttn``, which does the same for all cameras of a frame set at once and averages
those that see a query. ``PairsDeformAttn`` is that again where it is known beforehand which camera
sees which query; it stands in a graph only until its body takes its place. A runtime that knows an
operator (a TensorRT plugin) takes its node, any other its body. Bodies gather rather than call
``GridSample``, whose results some versions of TensorRT get wrong. They are functions of opset 18
for any number of points, without loops: one overload for each number of levels.

Shapes: N cameras or B images, T tokens (level after level, row after row), M heads with C channels
each, Q queries, L levels, P points, R = 1 or L.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import FunctionProto

DOMAIN = 'selfocc'
SURROUND = 'SurroundDeformAttn'
MS_DEFORM_ATTN = 'MSDeformAttn'
PAIRS = 'PairsDeformAttn'
VERSION = 1
OPSET = 18

_HEAD = f'<opset_import: ["": {OPSET}, "{DOMAIN}": {VERSION}], domain: "{DOMAIN}">'

# What all bodies know of the levels: sizes (width, height) and the first token of each.
_LEVELS = """
    first = Constant <value_int = 0> ()
    second = Constant <value_int = 1> ()
    axis_0 = Constant <value_ints = [0]> ()
    axis_1 = Constant <value_ints = [1]> ()
    last_axis = Constant <value_ints = [-1]> ()
    flat_shapes = Constant <value_ints: ints = @spatial_shapes> ()
    pairs_of = Constant <value_ints = [-1, 2]> ()
    shapes = Reshape (flat_shapes, pairs_of)
    heights = Gather <axis = 1> (shapes, axis_0)
    widths = Gather <axis = 1> (shapes, axis_1)
    int_sizes = Concat <axis = 1> (widths, heights)
    sizes = Cast <to = 1> (int_sizes)
    level_scale = Unsqueeze (sizes, axis_1)
    counts = Mul (heights, widths)
    starts = CumSum <exclusive = 1> (counts, first)
    value_shape = Shape (value)
    tokens = Gather (value_shape, axis_1)
    axis_2 = Constant <value_ints = [2]> ()
    axis_3 = Constant <value_ints = [3]> ()
    heads = Gather (value_shape, axis_2)
    channels = Gather (value_shape, axis_3)
    width_of_row = Mul (heads, channels)
    half = Constant <value_float = 0.5> ()
"""

# From A rows of queries, places [A, M, L, P, 2] in pixels, weights [A, M, L * P] and the image of
# each row [A] to attended [A, M * C].
_BEFORE_LEVELS = """
    one = Constant <value_float = 1.0> ()
    nought = Constant <value_float = 0.0> ()
    place_shape = Shape (place)
    rows_count = Gather (place_shape, axis_0)
    row_weight_shape = Shape <end = 4> (place)
    row_weights = Reshape (weight, row_weight_shape)
    row_shape = Concat <axis = 0> (last_axis, channels)
    rows = Reshape (value, row_shape)
    scalar = Constant <value_ints: ints = []> ()
    head_count = Reshape (heads, scalar)
    head_range = Range (first, head_count, second)
    tokens_and_heads = Mul (tokens, heads)
    first_row = Mul (image, tokens_and_heads)
    first_rows = Unsqueeze (first_row, axis_1)
    row_of_token_0 = Add (first_rows, head_range)
    base = Unsqueeze (row_of_token_0, last_axis)
"""

# Each read value is kept until it is weighed, four for each point, but of one level only.
_LEVEL = """
    level_# = Constant <value_int = #> ()
    at_# = Gather <axis = 2> (place, level_#)
    share_# = Gather <axis = 2> (row_weights, level_#)
    size_# = Gather <axis = 0> (sizes, level_#)
    start_# = Gather <axis = 0> (starts, level_#)
    last_pixel_# = Sub (size_#, one)
{axes}
    width_# = Gather <axis = 0> (size_#, first)
    share_y0_# = Mul (seen_y0_#, share_#)
    share_y1_# = Mul (seen_y1_#, share_#)
    share_00_# = Mul (share_y0_#, seen_x0_#)
    share_01_# = Mul (share_y0_#, seen_x1_#)
    share_10_# = Mul (share_y1_#, seen_x0_#)
    share_11_# = Mul (share_y1_#, seen_x1_#)
    coefficient_# = Concat <axis = -1> (share_00_#, share_01_#, share_10_#, share_11_#)
    before_y0_# = Mul (near_y0_#, width_#)
    before_y1_# = Mul (near_y1_#, width_#)
    token_00_# = Add (before_y0_#, near_x0_#)
    token_01_# = Add (before_y0_#, near_x1_#)
    token_10_# = Add (before_y1_#, near_x0_#)
    token_11_# = Add (before_y1_#, near_x1_#)
    float_token_# = Concat <axis = -1> (token_00_#, token_01_#, token_10_#, token_11_#)
    in_level_# = Cast <to = 7> (float_token_#)
    token_# = Add (in_level_#, start_#)
    token_row_# = Mul (token_#, heads)
    index_# = Add (token_row_#, base)
    taken_# = Gather <axis = 0> (rows, index_#)
    taken_float_# = Cast <to = 1> (taken_#)
{weigh}
"""

# ONNX Runtime is faster with a product of matrices.
_AS_MATRICES = """
    coefficients_# = Unsqueeze (coefficient_#, axis_2)
    attended_# = MatMul (coefficients_#, taken_float_#)
"""

# TensorRT makes one kernel of this with the gathering before it, which then is nowhere in memory.
_AS_SUM = """
    coefficients_# = Unsqueeze (coefficient_#, last_axis)
    weighed_# = Mul (coefficients_#, taken_float_#)
    attended_# = ReduceSum <keepdims = 0> (weighed_#, axis_2)
"""

# The pixels on both sides of a place along one axis, and their shares: none outside the image.
_AXIS = """
    {n}_# = Gather <axis = -1> (at_#, {component})
    limit_{n}_# = Gather <axis = 0> (last_pixel_#, {component})
    {n}0_# = Floor ({n}_#)
    {n}1_# = Add ({n}0_#, one)
    {n}1_part_# = Sub ({n}_#, {n}0_#)
    {n}0_part_# = Sub (one, {n}1_part_#)
    not_below_{n}0_# = Max ({n}0_#, nought)
    not_below_{n}1_# = Max ({n}1_#, nought)
    near_{n}0_# = Min (not_below_{n}0_#, limit_{n}_#)
    near_{n}1_# = Min (not_below_{n}1_#, limit_{n}_#)
    has_{n}0_# = Equal (near_{n}0_#, {n}0_#)
    has_{n}1_# = Equal (near_{n}1_#, {n}1_#)
    seen_{n}0_# = Where (has_{n}0_#, {n}0_part_#, nought)
    seen_{n}1_# = Where (has_{n}1_#, {n}1_part_#, nought)
"""

_AFTER_LEVELS = """
    attended_rows = {total}
    attended_shape = Concat <axis = 0> (rows_count, width_of_row)
    attended_float = Reshape (attended_rows, attended_shape)
"""


def _attend(levels: int, weigh: str) -> str:
    axes = _AXIS.format(n='x', component='first') + _AXIS.format(n='y', component='second')
    level = _LEVEL.format(axes=axes, weigh=weigh)
    names = ', '.join(f'attended_{i}' for i in range(levels))
    by_level = ''.join(level.replace('#', str(i)) for i in range(levels))
    total = f'Sum ({names})' if levels > 1 else f'Identity ({names})'  # a sum of one is a copy
    return _BEFORE_LEVELS + by_level + _AFTER_LEVELS.format(total=total)


# The pairs of a query lie one after the other; first ones, second ones and so on are added by a
# product with ones. Scattering them by image first, and ReduceSum, take several times as long.
_SURROUND = """
{head}
SurroundDeformAttn <spatial_shapes> (value, references, visible, offsets, logits) => (attended) {
    {levels}
    by_query = Transpose <perm = [1, 0]> (visible)
    pairs = NonZero (by_query)
    query = Gather <axis = 0> (pairs, first)
    image = Gather <axis = 0> (pairs, second)
    swapped = Constant <value_ints = [1, 0]> ()
    images_and_queries = Gather <axis = 0> (pairs, swapped)
    pair_index = Transpose <perm = [1, 0]> (images_and_queries)
    reference = GatherND (references, pair_index)
    pixel_reference = Mul (reference, level_scale)
    head_reference = Unsqueeze (pixel_reference, axis_1)
    offset = Gather <axis = 0> (offsets, query)
    corner_place = Add (head_reference, offset)
    place = Sub (corner_place, half)
    shown = Cast <to = 7> (visible)
    count = ReduceSum <keepdims = 0> (shown, axis_0)
    at_least_one = Max (count, second)
    count_float = Cast <to = 1> (at_least_one)
    each_point = Constant <value_ints = [1, 2]> ()
    divisor = Unsqueeze (count_float, each_point)
    all_weights = Softmax <axis = -1> (logits)
    weights = Div (all_weights, divisor)
    weight = Gather <axis = 0> (weights, query)
    {attend}
    nobody_shape = Concat <axis = 0> (axis_1, width_of_row)
    nobody = ConstantOfShape (nobody_shape)
    pairs_and_nobody = Concat <axis = 0> (attended_float, nobody)
    ends = CumSum (count, first)
    begins = Sub (ends, count)
    most = ReduceMax <keepdims = 0> (at_least_one)
    ranks = Range (first, most, second)
    rank = Unsqueeze (ranks, axis_1)
    next = Add (begins, rank)
    is_pair = Less (next, ends)
    pair_of_rank = Where (is_pair, next, rows_count)
    by_rank = Gather <axis = 0> (pairs_and_nobody, pair_of_rank)
    flat_by_rank = Flatten <axis = 1> (by_rank)
    rank_shape = Shape (ranks)
    ones = Expand (one, rank_shape)
    flat_mean = MatMul (ones, flat_by_rank)
    mean_shape = Concat <axis = 0> (last_axis, width_of_row)
    mean = Reshape (flat_mean, mean_shape)
    attended = CastLike (mean, value)
}
"""

# Of each query the rows of its pairs, and shares of 0 where it has less than another.
_PAIRS_SURROUND = """
{head}
PairsDeformAttn <spatial_shapes>
    (value, reference, offsets, logits, image, query, rows_of_query, shares) => (attended) {
    {levels}
    pixel_reference = Mul (reference, level_scale)
    head_reference = Unsqueeze (pixel_reference, axis_1)
    offset = Gather <axis = 0> (offsets, query)
    corner_place = Add (head_reference, offset)
    place = Sub (corner_place, half)
    weights = Softmax <axis = -1> (logits)
    weight = Gather <axis = 0> (weights, query)
    {attend_sum}
    by_pair = Gather <axis = 0> (attended_float, rows_of_query)
    shown_by_pair = Mul (by_pair, shares)
    mean = ReduceSum <keepdims = 0> (shown_by_pair, axis_0)
    attended = CastLike (mean, value)
}
"""

_DENSE_SURROUND = """
{head}
SurroundDeformAttn <spatial_shapes> (value, references, visible, offsets, logits) => (attended) {
    {levels}
    one = Constant <value_float = 1.0> ()
    relative_offsets = Div (offsets, level_scale)
    head_references = Unsqueeze (references, axis_2)
    locations = Add (head_references, relative_offsets)
    weights = Softmax <axis = -1> (logits)
    images = Gather (value_shape, axis_0)
    weight_shape = Shape <start = 0, end = 5> (locations)
    level_weight_shape = Shape <start = 0, end = 4> (offsets)
    level_weights = Reshape (weights, level_weight_shape)
    image_weights = Expand (level_weights, weight_shape)
    by_image = selfocc.MSDeformAttn <spatial_shapes: ints = @spatial_shapes>
        (value, locations, image_weights)
    by_image_float = Cast <to = 1> (by_image)
    shown = Cast <to = 1> (visible)
    shares = Unsqueeze (shown, axis_2)
    shown_by_image = Mul (by_image_float, shares)
    total = ReduceSum <keepdims = 0> (shown_by_image, axis_0)
    count = ReduceSum <keepdims = 0> (shares, axis_0)
    divisor = Max (count, one)
    mean = Div (total, divisor)
    attended = CastLike (mean, value)
}
"""

_MS_DEFORM_ATTN = """
{head}
MSDeformAttn <spatial_shapes> (value, locations, weights) => (attended) {
    {levels}
    edge_places = Mul (locations, level_scale)
    image_places = Sub (edge_places, half)
    images_and_queries = Shape <start = 0, end = 2> (locations)
    each = Shape <start = 2> (locations)
    place_rows_shape = Concat <axis = 0> (last_axis, each)
    place = Reshape (image_places, place_rows_shape)
    weights_shape = Shape <start = 3> (weights)
    points_of_head = ReduceProd (weights_shape)
    weight_rows_shape = Concat <axis = 0> (last_axis, heads, points_of_head)
    weight = Reshape (weights, weight_rows_shape)
    images = Gather (value_shape, first)
    image_range = Range (first, images, second)
    image_column = Unsqueeze (image_range, axis_1)
    image_table = Expand (image_column, images_and_queries)
    image = Reshape (image_table, last_axis)
    {attend_sum}
    image_shape = Concat <axis = 0> (images_and_queries, width_of_row)
    by_image = Reshape (attended_float, image_shape)
    attended = CastLike (by_image, value)
}
"""


# As others export attention: every pair of camera and query, level by level.
_GRID_SAMPLE_SURROUND = """
{head}
SurroundDeformAttn <spatial_shapes> (value, references, visible, offsets, logits) => (attended) {
    {levels}
    one = Constant <value_float = 1.0> ()
    two = Constant <value_float = 2.0> ()
    images = Gather (value_shape, axis_0)
    maps_count = Mul (images, heads)
    relative_offsets = Div (offsets, level_scale)
    head_references = Unsqueeze (references, axis_2)
    locations = Add (head_references, relative_offsets)
    doubled = Mul (locations, two)
    grids = Sub (doubled, one)
    head_grids = Transpose <perm = [0, 2, 1, 3, 4, 5]> (grids)
    weights = Softmax <axis = -1> (logits)
    level_weight_shape = Shape <end = 4> (offsets)
    level_weights = Reshape (weights, level_weight_shape)
    head_weights = Transpose <perm = [1, 0, 2, 3]> (level_weights)
    channel_value = Transpose <perm = [0, 2, 3, 1]> (value)
    query_count = Shape <start = 1, end = 2> (head_references)
    point_count = Shape <start = 3, end = 4> (offsets)
    grid_shape = Concat <axis = 0> (maps_count, query_count, point_count, axis_2)
    read_shape = Concat <axis = 0> (images, heads, channels, query_count, point_count)
    {by_level}
    read = Sum ({names})
    by_query = Transpose <perm = [0, 3, 1, 2]> (read)
    by_query_shape = Concat <axis = 0> (images, query_count, width_of_row)
    by_image = Reshape (by_query, by_query_shape)
    shown = Cast <to = 1> (visible)
    shares = Unsqueeze (shown, axis_2)
    shown_by_image = Mul (by_image, shares)
    total = ReduceSum <keepdims = 0> (shown_by_image, axis_0)
    count = ReduceSum <keepdims = 0> (shares, axis_0)
    divisor = Max (count, one)
    attended = Div (total, divisor)
}
"""

_GRID_SAMPLE_LEVEL = """
    level_# = Constant <value_int = #> ()
    start_# = Gather <axis = 0> (starts, level_#)
    count_# = Gather <axis = 0> (counts, level_#)
    end_# = Add (start_#, count_#)
    level_value_# = Slice (channel_value, start_#, end_#, axis_3)
    height_# = Gather <axis = 0> (heights, level_#)
    width_# = Gather <axis = 0> (widths, level_#)
    map_shape_# = Concat <axis = 0> (maps_count, channels, height_#, width_#)
    maps_# = Reshape (level_value_#, map_shape_#)
    level_grid_# = Gather <axis = 3> (head_grids, level_#)
    grid_# = Reshape (level_grid_#, grid_shape)
    sampled_# = GridSample <align_corners = 0> (maps_#, grid_#)
    sampled_by_head_# = Reshape (sampled_#, read_shape)
    level_weight_# = Gather <axis = 2> (head_weights, level_#)
    channel_weight_# = Unsqueeze (level_weight_#, axis_1)
    weighed_# = Mul (sampled_by_head_#, channel_weight_#)
    read_# = ReduceSum <keepdims = 0> (weighed_#, last_axis)
"""


def grid_sample_surround_function(levels: int) -> FunctionProto:
    """Return ``SurroundDeformAttn`` by ``GridSample``, in float32, to compare with."""
    by_level = ''.join(_GRID_SAMPLE_LEVEL.replace('#', str(i)) for i in range(levels))
    names = ', '.join(f'read_{i}' for i in range(levels))
    text = _GRID_SAMPLE_SURROUND.replace('{by_level}', by_level).replace('{names}', names)
    return _function(text, levels)


def surround_function(levels: int) -> FunctionProto:
    """Return ``SurroundDeformAttn`` for a CPU: only pairs of camera and query that see each other.

    ``(value [N, T, M, C], references [N, Q, R, P, 2], visible [N, Q], offsets [Q, M, L, P, 2],
    logits [Q, M, L * P]) -> attended [Q, M * C]``, overloaded by the number of levels.
    """
    return _function(_SURROUND, levels)


def dense_surround_function(levels: int) -> FunctionProto:
    """Return ``SurroundDeformAttn`` of static shapes, by ``MSDeformAttn`` for all pairs."""
    return _function(_DENSE_SURROUND, levels)


def pairs_surround_function(levels: int) -> FunctionProto:
    """Return ``PairsDeformAttn`` of static shapes, for A pairs that see each other.

    ``(value [N, T, M, C], reference [A, R, P, 2], offsets [Q, M, L, P, 2], logits [Q, M, L * P],
    image [A], query [A], rows_of_query [K, Q], shares [K, Q, 1]) -> attended [Q, M * C]``. Row k
    of ``rows_of_query`` says which pair is the k-th of each query, ``shares`` its part in the
    mean.
    """
    return _function(_PAIRS_SURROUND, levels)


def ms_deform_attn_function(levels: int) -> FunctionProto:
    """Return ``MSDeformAttn`` of standard operators, overloaded by the number of levels.

    ``(value [B, T, M, C], locations [B, Q, M, L, P, 2], weights [B, Q, M, L, P]) -> attended
    [B, Q, M * C]``; 0 and 1 are the edges of an image.
    """
    return _function(_MS_DEFORM_ATTN, levels)


def overload_of(levels: int) -> str:
    """Return the name of the overload for a number of levels: bodies have no loops."""
    return f'levels_{levels}'


def _function(text: str, levels: int) -> FunctionProto:
    import onnx.parser

    parts = {
        'head': _HEAD,
        'levels': _LEVELS,
        'attend': _attend(levels, _AS_MATRICES),
        'attend_sum': _attend(levels, _AS_SUM),
    }
    for name, part in parts.items():
        text = text.replace('{' + name + '}', part)
    function = onnx.parser.parse_function(text)
    function.overload = overload_of(levels)
    for node in function.node:
        if node.domain == DOMAIN:
            node.overload = function.overload
    return function
