"""Checkpoints: written atomically, read without executing anything from the file."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from selfocc_core.errors import SelfOccError
from selfocc_core.files import temporary_sibling
from selfocc_core.quoting import shown
from training.config import ModelConfig, Preset

if TYPE_CHECKING:
    from training.model.selfocc import SelfOcc

_FORMAT = 2
_PRESET = TypeAdapter(Preset)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a training run.

    Attributes:
        preset: Its configuration.
        step: Steps done.
        seed: Seed of its random choices.
        command: The command line that started it.
        data: What it was trained on, in words.
        model: Parameters of the network.
        optimizer: State of the optimiser.
        batch: Samples of a step, over all processes.
    """

    preset: Preset
    step: int
    seed: int
    command: str
    data: str
    model: dict[str, Any]
    optimizer: dict[str, Any]
    batch: int = 1

    def save(self, path: Path) -> None:
        """Write the checkpoint; whatever happens, the old one or the new one is there.

        Raises:
            SelfOccError: It cannot be written.
        """
        content = vars(self) | {'preset': _PRESET.dump_json(self.preset).decode()}
        with temporary_sibling(path) as temporary:
            try:
                torch.save({'format': _FORMAT, **content}, temporary)
            except (OSError, RuntimeError) as error:  # torch reports a full disk as the latter
                raise SelfOccError(f'cannot write {path}: is the disk full?') from error

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            SelfOccError: The file is missing or is not a checkpoint of this program.
        """
        if not path.is_file():
            raise SelfOccError(f'there is no checkpoint at {path}: train a model first')
        try:
            _check_archive(path)
            content = torch.load(path, map_location='cpu', weights_only=True)
            if content.pop('format') != _FORMAT:
                raise SelfOccError('it was written by another version')
            preset = _PRESET.validate_json(content.pop('preset'))
            return cls(preset=preset, **vars(_Content(**content)))
        except SelfOccError as error:
            raise SelfOccError(f'checkpoint {path}: {error}') from error
        except Exception as error:  # whatever the bytes provoke
            raise SelfOccError(f'{path} is not a checkpoint that "selfocc train" wrote') from error

    def network(self) -> SelfOcc:
        """Return the network with its parameters.

        Raises:
            SelfOccError: The parameters are not those of the preset's network.
        """
        from training.model.selfocc import SelfOcc

        try:
            _check_parameters(self.model, self.preset.model)
            network = SelfOcc(self.preset.model)
            network.load_state_dict(self.model)
        except Exception as error:  # whatever a preset provokes that nobody made
            raise SelfOccError(
                'the checkpoint does not hold the parameters of its preset '
                f'"{shown(self.preset.name)}": train again'
            ) from error
        return network


class _Content(BaseModel):
    """What a checkpoint holds besides its preset."""

    model_config = ConfigDict(
        extra='forbid', strict=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    step: int = Field(ge=0)
    seed: int = Field(ge=0)
    command: str
    data: str
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    batch: int = Field(ge=1)


def _check_archive(path: Path) -> None:
    """Check that a file is not larger in memory than on the disk: torch compresses nothing."""
    with zipfile.ZipFile(path) as archive:
        if any(member.file_size != member.compress_size for member in archive.infolist()):
            raise ValueError('a member is compressed')


def _check_parameters(found: Mapping[str, torch.Tensor], config: ModelConfig) -> None:
    """Check that parameters are those of a network before there is memory for it."""
    from training.model.selfocc import SelfOcc

    encoder, decoder = config.encoder, config.decoder
    layers = encoder.layers, decoder.layers, decoder.refinements, decoder.context
    if max(layers) > len(found):
        raise ValueError('there are more layers than parameters')
    with warnings.catch_warnings(), torch.device('meta'):
        warnings.simplefilter('ignore')  # such as of layers without channels
        wanted = SelfOcc(config).state_dict()
    if {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in wanted.items()}:
        raise ValueError('the parameters have other names or shapes')
    if not all(value.is_contiguous() for value in found.values()):
        raise ValueError('a parameter has more values than the file')


def remove_unfinished(path: Path) -> None:
    """Remove what a killed run left of a checkpoint that it was writing."""
    for unfinished in path.parent.glob(f'.unfinished-*/{path.name}'):
        shutil.rmtree(unfinished.parent, ignore_errors=True)


def differences(one: Preset, other: Preset) -> list[str]:
    """Return in words which values differ between two configurations."""
    ours, theirs = _flat(_PRESET.dump_python(one)), _flat(_PRESET.dump_python(other))
    return [
        f'{name} {ours.get(name)} instead of {theirs.get(name)}'
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def _flat(values: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f'{prefix}{name}.')
        else:
            flat[prefix + name] = value
    return flat
