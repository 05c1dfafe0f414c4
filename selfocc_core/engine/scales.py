"""Scales of the activations for int8, kept beside the engines.

They come from a drive, once; engines are built from them at any time after, without the drive.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_text, sha256_of, write_atomically

_REMEDY = 'calibrate again with "selfocc build-engine --precision int8 --bag DRIVE"'


class Scales(BaseModel):
    """The value of one step of int8 for each tensor.

    Attributes:
        model: Hash of the model file.
        drive: What it was calibrated with, for people.
        frame_sets: How many frame sets were looked at.
        of_tensors: Scale by name of the tensor.
    """

    model_config = ConfigDict(extra='forbid', frozen=True)

    model: str
    drive: str
    frame_sets: int = Field(gt=0)
    of_tensors: dict[str, Annotated[FiniteFloat, Field(gt=0)]]

    @property
    def digest(self) -> str:
        """Hash of the scales; another one means another engine."""
        content = repr(sorted(self.of_tensors.items()))
        return hashlib.sha256(content.encode()).hexdigest()

    @staticmethod
    def path_for(cache: Path, model_path: Path) -> Path:
        """Return where the scales of a model lie."""
        return cache / f'{model_path.stem}-{sha256_of(model_path)[:16]}.scales.json'

    @classmethod
    def load(cls, cache: Path, model_path: Path) -> Scales:
        """Read the scales of a model.

        Raises:
            SelfOccError: There are none, or they are damaged or of another model.
        """
        path = cls.path_for(cache, model_path)
        if not path.is_file():
            raise SelfOccError(
                f'model {model_path} is not calibrated for int8: run "selfocc build-engine '
                f'{model_path} --precision int8 --bag DRIVE"'
            )
        try:
            scales = cls.model_validate_json(read_text(path, 'scales'))
        except ValidationError as error:
            raise SelfOccError(f'scales {path} are damaged: {_REMEDY}') from error
        if scales.model != sha256_of(model_path):
            raise SelfOccError(f'scales {path} are of another model: {_REMEDY}')
        return scales

    def save(self, cache: Path, model_path: Path) -> None:
        """Write the scales of a model.

        Raises:
            SelfOccError: The folder cannot be written.
        """
        content = self.model_dump_json(indent=2) + '\n'
        write_atomically(self.path_for(cache, model_path), content.encode())
