"""ONNX Runtime: on the CPU it runs everywhere, on an NVIDIA GPU where its build knows CUDA."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

from selfocc_core.backends import ModelInputs, ModelOutputs
from selfocc_core.backends.interface import check_interface, feeds_of
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard
from selfocc_core.quoting import shown

CPU, CUDA = 'CPUExecutionProvider', 'CUDAExecutionProvider'

LONGEST_RUN_S = 300.0
"""What takes longer for one frame set is no model for a vehicle."""

_ENTRIES = {
    # Waiting threads must not spin: they would take the cores from image callbacks.
    'session.intra_op.allow_spinning': '0',
    # On a CPU its kernel takes several times as long as those that it replaces.
    'optimization.disable_specified_optimizers': 'SkipLayerNormFusion',
}
# With a limit it does not fold what has no size known beforehand: in a model for one rig all that
# depends on which camera sees what. Without one it may fold gigabytes out of a large model.
_FOLD_WITHOUT_LIMIT = {'optimization.constant_folding_max_output_size_in_bytes': '0'}
_SMALL_MODEL_BYTES = 64 * 2**20


def import_runtime() -> Any:
    """Return ONNX Runtime, which otherwise notes every process on the disk and tells Microsoft."""
    os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')  # it looks when it is imported
    import onnxruntime

    return onnxruntime


class OnnxRuntimeBackend:
    """A model executed by ONNX Runtime.

    Args:
        model_path: The ``.onnx`` file; its card lies beside it.
        threads: Threads of the runtime; default is every core this process may use.
        cuda: Whether it runs on the GPU; what CUDA cannot do still runs on the CPU.

    Raises:
        SelfOccError: The model or its card is missing, damaged, or the two disagree; or there is
            no CUDA for ONNX Runtime.
    """

    def __init__(self, model_path: Path, threads: int | None = None, cuda: bool = False) -> None:
        ort = import_runtime()
        self.name = 'onnxruntime-cuda' if cuda else 'onnxruntime-cpu'
        self._card = ModelCard.load_for(model_path)
        self._session = (_cuda_session if cuda else _cpu_session)(ort, model_path, threads)
        check_interface(_shapes(self._session), self._card, model_path)

    @property
    def card(self) -> ModelCard:
        """Card of the loaded model."""
        return self._card

    @property
    def details(self) -> dict[str, str]:
        """What else there is to say of how the model runs: nothing."""
        return {}

    def infer(self, inputs: ModelInputs) -> ModelOutputs:
        """Run the model once.

        Raises:
            SelfOccError: ONNX Runtime fails at one of the model's operators, or takes minutes.
        """
        names = ['sdf', 'depth', 'semantics'] if self._card.classes else ['sdf', 'depth']
        try:
            with _ended_in_time() as options:
                outputs = self._session.run(names, feeds_of(inputs, self._card), options)
        except Exception as error:
            raise SelfOccError(
                f'ONNX Runtime cannot run model {shown(self._card.name)}: {_first_line(error)}'
            ) from error
        return ModelOutputs(**dict(zip(names, outputs, strict=True)))

    def close(self) -> None:
        """Let the model go."""
        self._session = None


def _cpu_session(ort: Any, model_path: Path, threads: int | None) -> Any:
    try:
        return ort.InferenceSession(
            str(model_path), _options(ort, model_path, threads), providers=[CPU]
        )
    except Exception as error:
        raise SelfOccError(
            f'{model_path} is not a model that ONNX Runtime can load: export it again'
        ) from error


def _cuda_session(ort: Any, model_path: Path, threads: int | None) -> Any:
    if CUDA not in ort.get_available_providers():
        raise SelfOccError(
            f'ONNX Runtime {ort.__version__} is built without CUDA: install onnxruntime-gpu, on a '
            'Jetson, for which pip has none, one that was built for its JetPack'
        )
    # As TF32, convolutions would round their inputs to 10 bits of mantissa.
    providers = [(CUDA, {'use_tf32': '0'}), CPU]
    try:
        session = ort.InferenceSession(
            str(model_path), _options(ort, model_path, threads), providers=providers
        )
    except Exception as error:
        raise SelfOccError(
            f'ONNX Runtime cannot load {model_path} on the GPU: {_first_line(error)}'
        ) from error
    if CUDA not in session.get_providers():  # without CUDA's libraries it quietly takes the CPU
        raise SelfOccError(
            'ONNX Runtime cannot start CUDA: install the CUDA and cuDNN that its release needs'
        )
    return session


@contextmanager
def _ended_in_time() -> Iterator[Any]:
    """Yield options of a run that is ended after some minutes: a loop may have no end."""
    options = import_runtime().RunOptions()
    timer = Timer(LONGEST_RUN_S, setattr, (options, 'terminate', True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


def _first_line(error: Exception) -> str:
    return shown(str(error).partition('\n')[0], 500)


def _options(ort: Any, model_path: Path, threads: int | None) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    is_small = model_path.stat().st_size <= _SMALL_MODEL_BYTES
    for key, value in (_ENTRIES | (_FOLD_WITHOUT_LIMIT if is_small else {})).items():
        options.add_session_config_entry(key, value)
    options.log_severity_level = 4  # errors are raised, too
    return options


def _shapes(session: Any) -> dict[str, list[int | str]]:
    return {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
