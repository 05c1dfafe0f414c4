"""The golden file of a model: inputs, and what the model makes of them on a CPU.

It lies beside the model, and is what an engine must reproduce on the device that it runs on.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.errors import SelfOccError
from selfocc_core.files import temporary_sibling
from selfocc_core.model_card import ModelCard
from selfocc_core.quoting import shown

MAX_BYTES = 256 * 2**20  # ten times what six cameras of two megapixels and a fine grid need

_MAX_HEADER_BYTES = 65536
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_INPUTS = ('images', 'image_from_ego', 'camera_mask')
_OUTPUTS = ('sdf', 'depth', 'semantics')


@dataclass(frozen=True, eq=False)
class Golden:
    """Inputs of a model and what it must make of them."""

    inputs: ModelInputs
    outputs: ModelOutputs

    @staticmethod
    def path_for(model_path: Path) -> Path:
        """Return where the golden file of a model lies."""
        return model_path.with_suffix('.golden.npz')

    @classmethod
    def load_for(cls, model_path: Path) -> Golden:
        """Read the golden file beside a model.

        Raises:
            SelfOccError: It is missing, damaged, too large, of another model than the card's, or
                not finite.
        """
        card, path = ModelCard.load_for(model_path), cls.path_for(model_path)
        if not path.is_file():
            raise SelfOccError(
                f'there is no golden file {path}, without which no engine can be checked: export '
                'the model again, or put the file that came with it beside it'
            )
        arrays = _read(path)
        for name, (shape, kind) in _contract(card).items():
            array = arrays.get(name)
            if array is None or array.shape != shape or array.dtype != kind:
                raise SelfOccError(
                    f'golden file {path} has no {name} of shape {list(shape)} ({kind}), as the '
                    'model card says: export the model again'
                )
            if not np.isfinite(array).all():
                raise SelfOccError(
                    f'golden file {path} has values of {name} that are no numbers, against which '
                    'no engine can be checked: export the model again'
                )
        return cls(
            ModelInputs(**{name: arrays[name] for name in _INPUTS}),
            ModelOutputs(**{name: arrays[name] for name in _OUTPUTS if name in arrays}),
        )


def write_golden(model_path: Path, inputs: ModelInputs) -> Golden:
    """Run a model on the CPU and write its golden file beside it.

    Raises:
        SelfOccError: The model cannot be run or gives what is no number, or the file cannot be
            written.
    """
    from selfocc_core.backends.onnxruntime import OnnxRuntimeBackend

    outputs = OnnxRuntimeBackend(model_path).infer(inputs)
    arrays = {name: getattr(inputs, name) for name in _INPUTS}
    found = {name: getattr(outputs, name) for name in _OUTPUTS}
    arrays |= {name: array for name, array in found.items() if array is not None}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise SelfOccError(
                f'model {model_path} cannot be checked on other devices, as its {name} has values '
                'that are no numbers: train it again, or give other inputs'
            )
    with temporary_sibling(Golden.path_for(model_path)) as temporary:
        np.savez_compressed(temporary, **arrays)
    return Golden(inputs, outputs)


def _contract(card: ModelCard) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and type of every array that the golden file of a model must have."""
    n, h, w = card.input.cameras, card.input.height, card.input.width
    contract: dict[str, tuple[tuple[int, ...], str]] = {
        'images': ((n, h, w, 3), 'uint8'),
        'image_from_ego': ((n, 3, 4), 'float32'),
        'camera_mask': ((n,), 'bool'),
        'sdf': (card.grid.shape, 'float32'),
        'depth': ((n, card.depth.height, card.depth.width), 'float32'),
    }
    return contract | ({'semantics': (card.grid.shape, 'uint8')} if card.classes else {})


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file that may come from anywhere."""
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
            warnings.simplefilter('error', UserWarning)  # as of a header that is no longer written
            members = {info.filename.removesuffix('.npy'): info for info in archive.infolist()}
            if sum(info.file_size for info in members.values()) > MAX_BYTES:
                raise SelfOccError(
                    f'golden file {path} unpacks to more than 256 MiB: is it the right file?'
                )
            return {
                name: _array(archive.open(members[name]), members[name].file_size)
                for name in (*_INPUTS, *_OUTPUTS)
                if name in members
            }
    except SelfOccError:
        raise
    except Exception as error:  # damaged archives and headers make Python's readers raise anything
        raise SelfOccError(
            f'golden file {path} is damaged ({shown(error)}): export the model again'
        ) from error


def _array(stream: IO[bytes], size: int) -> NDArray[Any]:
    """Read one array, whose header must not promise more than the file holds."""
    header = io.BytesIO(stream.read(min(size, _MAX_HEADER_BYTES)))
    version = np.lib.format.read_magic(header)
    if version not in _READ_HEADER:
        raise ValueError('an array is in a format that numpy uses for odd names only')
    shape, _, kind = _READ_HEADER[version](header)
    if math.prod(shape) * kind.itemsize > size:
        raise ValueError('an array is cut off')
    stream.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
