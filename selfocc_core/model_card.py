"""The model card: the JSON beside every ``.onnx`` that says what the file is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from selfocc_core.errors import SelfOccError
from selfocc_core.files import read_text, sha256_of, write_atomically
from selfocc_core.quoting import first_problem
from selfocc_core.voxels import VoxelGrid

SUPPORTED_FORMAT = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra='forbid', protected_namespaces=())


class InputSpec(_Strict):
    """Size of ``images``: cameras, height and width in pixels."""

    cameras: int = Field(gt=0, le=64)
    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)


class GridSpec(_Strict):
    """The voxel grid of ``sdf``, in the ego frame."""

    minimum_m: tuple[float, float, float]
    maximum_m: tuple[float, float, float]
    shape: tuple[int, int, int]

    def to_grid(self) -> VoxelGrid:
        """Return the grid."""
        return VoxelGrid(self.minimum_m, self.maximum_m, self.shape)


class DepthSpec(_Strict):
    """The lattice of ``depth``: rows and columns of equal cells over the network input."""

    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)
    near_m: float = Field(gt=0)
    far_m: float = Field(gt=0)


class TrainingRecord(_Strict):
    """How the weights came to be."""

    command: str
    data: str
    steps: int
    seed: int


class ModelCard(_Strict):
    """What a model file takes, gives and is."""

    format: int = SUPPORTED_FORMAT
    name: str
    version: str = Field(pattern=r'^\d+\.\d+\.\d+$')
    onnx_sha256: str
    opset: int
    output: Literal['sdf'] = 'sdf'
    threshold: float = Field(default=0.0, allow_inf_nan=False)
    classes: tuple[str, ...] = Field(default=(), max_length=255)
    input: InputSpec
    grid: GridSpec
    depth: DepthSpec
    rig_hash: str | None = None
    training: TrainingRecord
    metrics: dict[str, float] = {}
    limits: str = ''

    @staticmethod
    def path_for(model_path: Path) -> Path:
        """Return where the card of a model file lies."""
        return model_path.with_suffix('.card.json')

    @classmethod
    def load_for(cls, model_path: Path) -> ModelCard:
        """Read the card beside a model file and check that the two belong together.

        Raises:
            SelfOccError: Model or card are missing, malformed, of another format, or do not match.
        """
        if not model_path.is_file():
            raise SelfOccError(
                f'there is no model at {model_path}: give the path of an .onnx file'
            )
        card = cls._read(cls.path_for(model_path))
        if card.onnx_sha256 != sha256_of(model_path):
            raise SelfOccError(
                f'model card {cls.path_for(model_path)} describes another file than {model_path}: '
                'export the model again, or put the card that came with it beside it'
            )
        return card

    @classmethod
    def _read(cls, path: Path) -> ModelCard:
        try:
            card = cls.model_validate_json(read_text(path, 'model card'))
        except ValidationError as error:
            raise SelfOccError(
                f'model card {path} is malformed: {first_problem(error)}'
            ) from error
        if card.format != SUPPORTED_FORMAT:
            raise SelfOccError(
                f'model card {path} has format {card.format}, this version reads '
                f'{SUPPORTED_FORMAT}: export the model with this version'
            )
        return card

    def write_for(self, model_path: Path) -> None:
        """Write the card beside a model file."""
        content = self.model_dump_json(indent=2) + '\n'
        write_atomically(self.path_for(model_path), content.encode())
