"""The model that comes with the package."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / 'models'


def shipped_model() -> Path:
    """Return the path of the shipped model; its card lies beside it."""
    return MODELS / 'selfocc-tiny.onnx'
