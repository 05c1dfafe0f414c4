"""What the runtimes do with the model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np

from selfocc_core.backends import ModelInputs
from selfocc_core.backends.interface import blank_inputs
from selfocc_core.backends.selection import ClosableBackend, proven_backend
from selfocc_core.backends.tensorrt import TensorRtBackend
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.cuda.driver import open_driver
from selfocc_core.device_check.report import BackendCheck, Latency
from selfocc_core.device_check.timing import Patience, measured
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard
from selfocc_core.preprocess import Preprocessor

_CAMERA_WIDTH, _CAMERA_HEIGHT = 1600, 900


def preprocessing(card: ModelCard, patience: Patience) -> Latency:
    """Return how long all cameras' images of 1600x900 take to become the network's input."""
    camera = nuscenes_like_rig(_CAMERA_WIDTH, _CAMERA_HEIGHT).cameras[0]
    preprocess = Preprocessor(camera, card.input.height, card.input.width)
    image = np.random.default_rng(0).integers(0, 256, (_CAMERA_HEIGHT, _CAMERA_WIDTH, 3), np.uint8)

    def call() -> Mapping[str, float]:
        for _ in range(card.input.cameras):
            preprocess(image)
        return {}

    (total,) = measured(call, patience)
    return total.model_copy(update={'stage': 'all cameras'})


def checked_backend(name: str, model_path: Path, patience: Patience) -> BackendCheck:
    """Open a runtime, run the model on it, and measure.

    Raises:
        SelfOccError: The runtime does not run the model.
    """
    free_before = _free_device_memory()
    with closing(proven_backend(name, model_path, None)) as backend:
        inputs = _inputs(model_path, backend.card)
        latencies = measured(lambda: _run(backend, inputs), patience)
        free_after = _free_device_memory()
        used = free_before - free_after if free_before and free_after else None
        return BackendCheck(
            name=name,
            works=True,
            detail=', '.join(f'{k}: {v}' for k, v in backend.details.items()) or None,
            latencies=latencies,
            device_memory_bytes=used if name != 'onnxruntime-cpu' else None,
        )


def _run(backend: ClosableBackend, inputs: ModelInputs) -> Mapping[str, float]:
    backend.infer(inputs)
    if isinstance(backend, TensorRtBackend):
        times = backend.session.times
        return {
            'copy in': times.copy_in,
            'inference': times.inference,
            'copy out': times.copy_out,
        }
    return {}  # ONNX Runtime copies inside of its call


def _inputs(model_path: Path, card: ModelCard) -> ModelInputs:
    """Return the golden inputs, or some of the right shape if there are none."""
    from selfocc_core.engine.golden import Golden

    try:
        return Golden.load_for(model_path).inputs
    except SelfOccError:
        return blank_inputs(card)


def _free_device_memory() -> int | None:
    try:
        with closing(open_driver()) as driver, driver.current():
            return driver.memory_bytes()[0]
    except SelfOccError:
        return None
