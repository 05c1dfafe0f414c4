"""Checkpoints: written atomically, read without executing anything from the file."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from selfocc_core.errors import SelfOccError
from selfocc_core.files import temporary_sibling
from training.config import Preset

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
            content = torch.load(path, map_location='cpu', weights_only=True)
            if content.pop('format') != _FORMAT:
                raise SelfOccError(f'checkpoint {path} was written by another version')
            preset = _PRESET.validate_json(content.pop('preset'))
            return cls(preset=preset, **content)
        except SelfOccError:
            raise
        except (ValidationError, Exception) as error:
            raise SelfOccError(f'{path} is not a checkpoint that "selfocc train" wrote') from error


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
