"""The verb ``import-checkpoint``: published SelfOcc weights to a checkpoint of this project."""

from __future__ import annotations

import shlex
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from selfocc_core.errors import SelfOccError
from selfocc_core.files import sha256_of
from training.config import Preset

if TYPE_CHECKING:
    from torch import Tensor

    from training.checkpoint import Checkpoint

# The published files have 35 million parameters and perhaps the state of their optimiser.
_LARGEST_BYTES = 2 << 30
_NAMED_PROBLEMS, _LONGEST_NAME = 8, 200
_RANGE_TOLERANCE_M = 1e-3


@dataclass(frozen=True)
class ImportCheckpoint:
    """Read weights that the authors of SelfOcc published.

    Example: selfocc import-checkpoint selfocc.pth --preset nuscenes_occ --out model.ckpt

    Every parameter is checked by name and shape; then export and run the checkpoint as any other.
    """

    file: Positional[Path]
    """The published file (.pth)."""
    preset: str = 'nuscenes_occ'
    """Configuration that the weights were trained with; ``selfocc train --help`` lists them."""
    out: Path = Path('model.ckpt')
    """The checkpoint to write."""

    def run(self) -> None:
        """Import."""
        from training.command import preset_named

        command = shlex.join(['selfocc', *sys.argv[1:]])
        checkpoint = import_weights(self.file, preset_named(self.preset), command)
        checkpoint.save(self.out)
        print(f'wrote {self.out}: {len(checkpoint.model)} arrays, none missing, none left over')


def import_weights(path: Path, preset: Preset, command: str = '') -> Checkpoint:
    """Return a checkpoint with published weights.

    They were trained with the quirks of the original, so its configuration has ``parity``.

    Raises:
        SelfOccError: The file is not one of weights, or does not fit the preset to the letter.
    """
    from training.checkpoint import Checkpoint
    from training.model.selfocc import SelfOcc
    from training.official_weights import to_our_names

    published = _read(path)
    preset = replace(preset, model=replace(preset.model, parity=True))
    expected = SelfOcc(preset.model).state_dict()
    problems = _problems(published, expected, preset)
    if problems:
        more = len(problems) - _NAMED_PROBLEMS
        rest = f'; and {more} more' if more > 0 else ''
        raise SelfOccError(
            f'{path} does not fit preset "{preset.name}" ({"; ".join(problems[:_NAMED_PROBLEMS])}'
            f'{rest}): choose the --preset that these weights were trained with'
        )
    model = {
        name: value.detach().to(expected[name].dtype).clone()
        for name, value in to_our_names(published).items()
    }
    infinite = [name for name, value in model.items() if not bool(value.isfinite().all())]
    if infinite:
        raise SelfOccError(f'{path} holds numbers that are not finite in {infinite[0]}')
    return Checkpoint(
        preset=preset,
        step=0,
        seed=0,
        command=command,
        data=f'published SelfOcc weights {path.name} (sha256 {sha256_of(path)})',
        model=model,
        optimizer={},
    )


def _read(path: Path) -> dict[str, Tensor]:
    """Return the parameters of a file, without executing anything from it.

    Raises:
        SelfOccError: There is no such file, it is too large, or it does not hold weights.
    """
    import torch

    if not path.is_file():
        raise SelfOccError(f'there is no file {path}: give a published SelfOcc .pth')
    if _unpacked_bytes(path) > _LARGEST_BYTES:
        raise SelfOccError(f'{path} is larger than {_LARGEST_BYTES >> 30} GiB: no SelfOcc file is')
    try:
        with torch.serialization.safe_globals(_plain_numbers()):
            content: Any = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # whatever the bytes provoke
        raise SelfOccError(
            f'{path} is not a file of weights only: give a SelfOcc .pth as published'
        ) from error
    for wrapper in ('state_dict', 'model'):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(_is_parameter(*i) for i in content.items()):
        raise SelfOccError(
            f'{path} is no dictionary of named parameters: give a SelfOcc .pth as published'
        )
    return _without_prefix(content, 'module.')


def _plain_numbers() -> list[Any]:
    """Return what reads numpy's numbers, which training scripts store beside the weights.

    They execute nothing. Numpy 1 and 2 call the same function by different names.
    """
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    names = ('numpy.core.multiarray.scalar', 'numpy._core.multiarray.scalar')
    kinds = (np.bool_, np.int32, np.int64, np.float32, np.float64)
    return [
        *((scalar, name) for name in names),
        np.dtype,
        *(type(np.dtype(kind)) for kind in kinds),
    ]


def _unpacked_bytes(path: Path) -> int:
    """Return the size of a file, or of what its archive unpacks to."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(member.file_size for member in archive.infolist()))
    except (zipfile.BadZipFile, OSError):  # torch's older format is no archive
        return size


def _is_parameter(name: object, value: object) -> bool:
    import torch

    return (
        isinstance(name, str)
        and len(name) < _LONGEST_NAME
        and name.isprintable()
        and isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and value.device.type == 'cpu'
    )


def _without_prefix(parameters: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Remove what distributed training puts before every name."""
    if not all(name.startswith(prefix) for name in parameters):
        return dict(parameters)
    return {name.removeprefix(prefix): value for name, value in parameters.items()}


def _problems(
    published: Mapping[str, Tensor], expected: Mapping[str, Tensor], preset: Preset
) -> list[str]:
    """Return in words everything that does not fit."""
    from training.official_weights import NOT_PARAMETERS, to_our_names, translate

    ours = to_our_names(published)
    problems = [
        f'{name} {list(value.shape)} is unknown'
        for name, value in published.items()
        if name not in NOT_PARAMETERS and translate(name) not in expected
    ]
    problems += [
        f'{name} {list(value.shape)} is missing'
        for name, value in expected.items()
        if name not in ours
    ]
    problems += [
        f'{" and ".join(names)} are the same parameter'
        for names in _by_our_name(published).values()
        if len(names) > 1
    ]
    for name in published:
        our_name = translate(name)
        if our_name is not None and our_name in expected:
            problems += _mismatch(name, ours[our_name], expected[our_name])
    return problems + _range_problems(published, preset)


def _by_our_name(published: Mapping[str, Tensor]) -> dict[str, list[str]]:
    from training.official_weights import translate

    names: dict[str, list[str]] = {}
    for name in published:
        ours = translate(name)
        if ours is not None:
            names.setdefault(ours, []).append(name)
    return names


def _mismatch(name: str, found: Tensor, wanted: Tensor) -> list[str]:
    if found.shape != wanted.shape:
        return [f'{name} is {list(found.shape)}, expected {list(wanted.shape)}']
    if found.is_floating_point() != wanted.is_floating_point():
        return [f'{name} is {found.dtype}, expected {wanted.dtype}']
    return []


def _range_problems(published: Mapping[str, Tensor], preset: Preset) -> list[str]:
    """Compare the range of the volume, which the published files state."""
    import torch

    from training.official_weights import NOT_PARAMETERS, VOLUME_RANGE

    missing = [f'{name} is missing' for name in NOT_PARAMETERS if name not in published]
    if VOLUME_RANGE not in published:
        return missing
    grid = preset.model.grid
    found, wanted = published[VOLUME_RANGE], torch.tensor([grid.minimum_m, grid.maximum_m])
    fits = found.shape == wanted.shape and torch.allclose(
        found.to(wanted.dtype), wanted, atol=_RANGE_TOLERANCE_M
    )
    return missing if fits else [*missing, f'{VOLUME_RANGE} is not {wanted.tolist()}']
