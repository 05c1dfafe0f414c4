"""Names of the published SelfOcc weights, and what this project calls the same parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# hw, zh and wz are the planes: H along y, W along x, Z along z.
_PLANES = {'hw': 'top', 'zh': 'side', 'wz': 'front'}
_FEED_FORWARD = {'0.0': '0', '1': '3'}

# Published name -> our name; ``{plane}`` and ``{linear}`` are looked up above.
_NAMES = {
    r'img_backbone\.(?P<rest>.+)': 'backbone.{rest}',
    r'img_neck\.lateral_convs\.(?P<level>\d+)\.conv\.(?P<rest>\w+)': (
        'neck.lateral_convs.{level}.{rest}'
    ),
    r'img_neck\.fpn_convs\.(?P<level>\d+)\.conv\.(?P<rest>\w+)': (
        'neck.output_convs.{level}.{rest}'
    ),
    r'lifter\.tpv_(?P<plane>hw|zh|wz)': 'encoder.queries.{plane}',
    r'encoder\.level_embeds': 'encoder.level_embedding',
    r'encoder\.cams_embeds': 'encoder.camera_embedding',
    r'encoder\.positional_encoding\.position_layer_(?P<plane>hw|zh|wz)\.(?P<rest>\w+)': (
        'encoder.positions.{plane}.{rest}'
    ),
    r'encoder\.layers\.(?P<layer>\d+)\.attentions\.0\.(?P<rest>\w+\.\w+)': (
        'encoder.layers.{layer}.cross_view.{rest}'
    ),
    (
        r'encoder\.layers\.(?P<layer>\d+)\.attentions\.1\.attn_(?P<plane>hw|zh|wz)'
        r'\.deformable_attention\.(?P<rest>\w+\.\w+)'
    ): 'encoder.layers.{layer}.image.{plane}.{rest}',
    (
        r'encoder\.layers\.(?P<layer>\d+)\.attentions\.1\.attn_(?P<plane>hw|zh|wz)'
        r'\.(?P<rest>output_proj\.\w+)'
    ): 'encoder.layers.{layer}.image.{plane}.{rest}',
    r'encoder\.layers\.(?P<layer>\d+)\.norms\.(?P<rest>\d+\.\w+)': (
        'encoder.layers.{layer}.norms.{rest}'
    ),
    r'encoder\.layers\.(?P<layer>\d+)\.ffns\.0\.layers\.(?P<linear>0\.0|1)\.(?P<rest>\w+)': (
        'encoder.layers.{layer}.ffn.{linear}.{rest}'
    ),
    r'head\.model\.field\.density_net\.(?P<rest>\d+\.\w+)': 'decoder.mlp.{rest}',
    r'head\.model\.field\.deviation_network\.variance': 'sharpness.exponent',
}
_PATTERNS = [(re.compile(published), ours) for published, ours in _NAMES.items()]

VOLUME_RANGE = 'head.model.field.aabb'
"""Low and high corner of the volume ``[2, 3]`` in metres."""

NOT_PARAMETERS = (
    'head.model.field_background',
    'head.model.device_indicator_param',
    VOLUME_RANGE,
)
"""What the published files hold besides parameters."""


def translate(name: str) -> str | None:
    """Return our name of a published parameter; ``None`` if there is none of that name."""
    for pattern, ours in _PATTERNS:
        match = pattern.fullmatch(name)
        if match:
            parts = match.groupdict()
            plane, linear = _PLANES.get(parts.pop('plane', '')), parts.pop('linear', '')
            return ours.format(**parts, plane=plane, linear=_FEED_FORWARD.get(linear))
    return None


def to_our_names(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return published parameters (tensors or arrays) under our names.

    The queries of a plane lose the leading axis of length 1. What is not a parameter of the
    method is left out: ``NOT_PARAMETERS`` and unknown names.
    """
    translated = ((translate(name), array) for name, array in arrays.items())
    return {ours: _as_ours(ours, array) for ours, array in translated if ours is not None}


def _as_ours(name: str, array: Any) -> Any:
    has_batch = name.startswith('encoder.queries.') and array.ndim == 3 and len(array) == 1
    return array[0] if has_batch else array
