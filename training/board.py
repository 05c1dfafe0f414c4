"""Curves and pictures of a training run for TensorBoard, where that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Board(Protocol):
    """Shows a training run."""

    def add_values(self, step: int, values: dict[str, float], group: str = 'training') -> None:
        """Add a point to the curve of each value."""

    def add_pictures(self, step: int, pictures: dict[str, NDArray[np.uint8]]) -> None:
        """Add RGB pictures ``[H, W, 3]``."""


class NoBoard:
    """Shows nothing."""

    def add_values(self, step: int, values: dict[str, float], group: str = 'training') -> None:
        """Do nothing."""

    def add_pictures(self, step: int, pictures: dict[str, NDArray[np.uint8]]) -> None:
        """Do nothing."""


class TensorBoard:
    """Writes event files.

    Args:
        folder: Where.
        step: Step that the run goes on from; later events in the folder are hidden.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add_values(self, step: int, values: dict[str, float], group: str = 'training') -> None:
        """Add a point to the curve of each value."""
        for name, value in values.items():
            self._writer.add_scalar(f'{group}/{name}', value, step)

    def add_pictures(self, step: int, pictures: dict[str, NDArray[np.uint8]]) -> None:
        """Add RGB pictures ``[H, W, 3]``."""
        for name, picture in pictures.items():
            self._writer.add_image(name, picture, step, dataformats='HWC')
        self._writer.flush()


def open_board(folder: Path, step: int) -> Board:
    """Return TensorBoard's, or one that shows nothing where TensorBoard is not installed."""
    try:
        return TensorBoard(folder, step)
    except ImportError:
        return NoBoard()
