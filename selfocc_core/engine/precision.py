"""A model in the precision that an engine shall have."""

from __future__ import annotations

from typing import Any

from selfocc_core.engine.half_precision import with_half_features
from selfocc_core.engine.parity import Precision
from selfocc_core.engine.quantization import quantized
from selfocc_core.engine.scales import Scales
from selfocc_core.errors import SelfOccError


def in_precision(model: Any, precision: Precision, scales: Scales | None) -> Any:
    """Return the graph of a model with the types that a precision means.

    Args:
        model: The exported float32 ``ModelProto``.
        precision: ``fp32`` as it is; ``fp16`` with features in float16; ``int8`` with quantized
            convolutions in backbone and FPN, and values of attention in float16.
        scales: Of the activations, for ``int8``.

    Raises:
        SelfOccError: The scales are missing or of another model.
    """
    if precision == 'fp32':
        return model
    if precision == 'fp16':
        return with_half_features(model)
    if scales is None:
        raise SelfOccError('int8 needs scales of the activations: calibrate with --bag DRIVE')
    return with_half_features(quantized(model, scales.of_tensors))
