"""A checkpoint as a runtime: torch runs what export would write, without an export.

So can be measured what is not exported: densities, and every run of an ablation.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.model_card import ModelCard
from training.checkpoint import Checkpoint
from training.deployed import DeployedModel
from training.export import card_of
from training.model.selfocc import SelfOcc

SUFFIX = '.ckpt'


class TorchBackend:
    """A training checkpoint executed by torch on the CPU.

    Args:
        path: The checkpoint.
        threads: Threads of torch, of this whole process; default is every core it may use.

    Raises:
        SelfOccError: The file is missing or is not a checkpoint of this program.
    """

    name = 'torch-cpu'

    def __init__(self, path: Path, threads: int | None = None) -> None:
        checkpoint = Checkpoint.load(path)
        torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
        network = SelfOcc(checkpoint.preset.model)
        network.load_state_dict(checkpoint.model)
        self._model = DeployedModel(network, checkpoint.preset).eval()
        self._card = card_of(checkpoint, path, model_name(path))

    @property
    def card(self) -> ModelCard:
        """What the card of an export would say; the hash is that of the checkpoint."""
        return self._card

    @torch.no_grad()
    def infer(self, inputs: ModelInputs) -> ModelOutputs:
        """Run the model once."""
        tensors = (inputs.images, inputs.image_from_ego, inputs.camera_mask)
        outputs = self._model(*(torch.from_numpy(np.ascontiguousarray(t)) for t in tensors))
        return ModelOutputs(*(output.numpy() for output in outputs))


def model_name(path: Path) -> str:
    """Return the name of a model by its file: of ``runs/mine/model.ckpt`` it is ``mine``."""
    if path.suffix == SUFFIX and path.stem == 'model':
        return path.resolve().parent.name
    return path.stem
