"""The onnx package: needed to make an engine, never to run one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from selfocc_core.errors import SelfOccError

_MAX_MODEL_BYTES = 2 * 10**9  # what protobuf can hold


def onnx_library() -> ModuleType:
    """Return the ``onnx`` package.

    Raises:
        SelfOccError: It is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.inliner
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError as error:
        raise SelfOccError('making an engine needs onnx: pip install onnx') from error
    library: ModuleType = onnx
    return library


def load_model(path: Path) -> Any:
    """Return the ``ModelProto`` of a file.

    Raises:
        SelfOccError: The file is missing, not an ONNX model, larger than 2 GB, or keeps its
            weights in other files.
    """
    onnx = onnx_library()
    if not path.is_file():
        raise SelfOccError(f'there is no model at {path}: give the path of an .onnx file')
    if path.stat().st_size > _MAX_MODEL_BYTES:
        raise SelfOccError(f'model {path} is larger than 2 GB: is it the right file?')
    invalid = f'{path} is not a valid ONNX model: export it again'
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise SelfOccError(invalid) from error
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in _tensors_of(model)):
        raise SelfOccError(
            f'model {path} keeps weights in other files, which its hash does not cover: export it '
            'as one file'
        )
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise SelfOccError(invalid) from error
    return model


def _tensors_of(message: Any) -> Iterator[Any]:
    """Yield every tensor in a message of ONNX, also in attributes, subgraphs and functions."""
    if message.DESCRIPTOR.name == 'TensorProto':
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in (value,) if hasattr(value, 'ListFields') else value:
                yield from _tensors_of(part)
