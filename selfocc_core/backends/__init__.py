"""Runtimes that can execute a model file, behind one small interface."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from selfocc_core.model_card import ModelCard


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


def open_backend(model_path: Path, threads: int | None = None) -> Backend:
    """Load a model and return the runtime that executes it.

    Args:
        model_path: The ``.onnx`` file; its card lies beside it.
        threads: Threads of the runtime; default is every core this process may use.

    Raises:
        SelfOccError: The model or its card is missing, damaged, or the two disagree.
    """
    from selfocc_core.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model_path, threads)
