"""Mixed precision where it is harmless: what looks at images, not what knows where things are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from training.model.selfocc import SelfOcc


def use_mixed_precision(model: SelfOcc, device_type: str) -> None:
    """Let backbone and feature pyramid compute in bfloat16 and return float32.

    Projections, the attention's places, the field and rendering stay in float32: bfloat16 would
    place a point at 40 m to within 10 cm. bfloat16 has the range of float32, so gradients need no
    scaling.
    """
    for part in (model.backbone, model.neck):
        _compute_in_bfloat16(part, device_type)


def _compute_in_bfloat16(part: nn.Module, device_type: str) -> None:
    forward = part.forward

    def in_bfloat16(*inputs: Any) -> Any:
        with torch.autocast(device_type, torch.bfloat16):
            return _in_float32(forward(*inputs))

    part.forward = in_bfloat16


def _in_float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float()
    return [_in_float32(item) for item in value]
