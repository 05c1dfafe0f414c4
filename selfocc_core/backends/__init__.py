"""Runtimes that can execute a model file, behind one small interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from selfocc_core.engine.parity import DEFAULT_PRECISION, Precision
from selfocc_core.model_card import ModelCard

if TYPE_CHECKING:
    from selfocc_core.backends.selection import ChosenBackend


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """What the network takes.

    Attributes:
        images: RGB ``[N, H, W, 3]`` uint8.
        image_from_ego: Projections ``[N, 3, 4]`` float32 to pixels of the network input.
        camera_mask: Which cameras are present ``[N]`` bool.
    """

    images: NDArray[np.uint8]
    image_from_ego: NDArray[np.float32]
    camera_mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ModelOutputs:
    """What the network gives.

    Attributes:
        sdf: Signed distance ``[X, Y, Z]`` in metres, negative inside things.
        depth: Depth along the optical axis ``[N, h, w]`` in metres.
        semantics: Class of each voxel ``[X, Y, Z]``, an index into the card's classes; ``None``
            of a model without classes.
    """

    sdf: NDArray[np.float32]
    depth: NDArray[np.float32]
    semantics: NDArray[np.uint8] | None = None


class Backend(Protocol):
    """A runtime with a model loaded."""

    @property
    def name(self) -> str:
        """Name for diagnostics and reports, for example ``onnxruntime-cpu``."""

    @property
    def card(self) -> ModelCard:
        """Card of the loaded model."""

    def infer(self, inputs: ModelInputs) -> ModelOutputs:
        """Run the model once."""


def open_backend(
    model_path: Path,
    threads: int | None = None,
    backend: str = 'auto',
    report: Callable[[str], None] = lambda _: None,
    precision: Precision = DEFAULT_PRECISION,
) -> ChosenBackend:
    """Load a model and return the runtime that executes it, after it has run once.

    Args:
        model_path: The ``.onnx`` file; its card lies beside it.
        threads: Threads of a runtime on the CPU; default is every core this process may use.
        backend: ``tensorrt``, ``onnxruntime-cuda``, ``onnxruntime-cpu``, or ``auto`` for the first
            of these that runs the model.
        report: Is told in sentences what happens where that takes minutes: TensorRT builds an
            engine when it first meets a model.
        precision: Precision of the features in an engine of TensorRT.

    Raises:
        SelfOccError: The model or its card is missing, damaged, or the two disagree; or the wanted
            runtime does not run it.
    """
    from selfocc_core.backends.selection import choose_backend

    return choose_backend(model_path, threads, backend, precision, report)
