"""Which runtime executes a model: the best that is seen to work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from selfocc_core.backends import Backend, ModelInputs, ModelOutputs
from selfocc_core.errors import SelfOccError
from selfocc_core.model_card import ModelCard

BackendName = Literal['tensorrt', 'onnxruntime-cuda', 'onnxruntime-cpu']
BACKENDS: tuple[BackendName, ...] = ('tensorrt', 'onnxruntime-cuda', 'onnxruntime-cpu')
"""Best first."""

AUTO = 'auto'

Report = Callable[[str], None]


def _silent(sentence: str) -> None:
    """Tell nobody."""


class ClosableBackend(Backend, Protocol):
    """A runtime that can let its model go."""

    def close(self) -> None:
        """Let the model and its memory go."""


@dataclass(frozen=True, eq=False)
class ChosenBackend:
    """The runtime that was chosen, and what speaks against the better ones.

    Attributes:
        backend: The runtime.
        rejected: Why each better runtime was not taken, in a sentence.
    """

    backend: ClosableBackend
    rejected: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the runtime."""
        return self.backend.name

    @property
    def card(self) -> ModelCard:
        """Card of the loaded model."""
        return self.backend.card

    def infer(self, inputs: ModelInputs) -> ModelOutputs:
        """Run the model once."""
        return self.backend.infer(inputs)

    def close(self) -> None:
        """Let the model go."""
        self.backend.close()


def choose_backend(
    model_path: Path, threads: int | None, wanted: str, report: Report = _silent
) -> ChosenBackend:
    """Return the wanted runtime, or of ``auto`` the first that runs the model.

    Raises:
        SelfOccError: There is no runtime of that name, it does not run the model, or none does.
    """
    if wanted not in {AUTO, *BACKENDS}:
        names = ', '.join((AUTO, *BACKENDS))
        raise SelfOccError(f'there is no backend "{wanted}": give one of {names}')
    ModelCard.load_for(model_path)  # an unusable model is no reason to try the next runtime
    *better, last = BACKENDS if wanted == AUTO else (wanted,)
    rejected: dict[str, str] = {}
    for name in better:
        try:
            return ChosenBackend(proven_backend(name, model_path, threads, report), rejected)
        except Exception as error:  # a better runtime that is broken must not keep the others off
            rejected[name] = sentence_of(error)
    return ChosenBackend(proven_backend(last, model_path, threads, report), rejected)


def proven_backend(
    name: str, model_path: Path, threads: int | None, report: Report = _silent
) -> ClosableBackend:
    """Return a runtime that has run the model once.

    Raises:
        SelfOccError: It cannot.
    """
    from selfocc_core.backends.interface import blank_inputs, check_outputs

    backend = _OPENERS[name](model_path, threads, report)
    try:
        check_outputs(backend.infer(blank_inputs(backend.card)), backend.card)
    except BaseException:
        backend.close()
        raise
    return backend


def sentence_of(error: Exception) -> str:
    """Return in one line what an error says, with its kind if it is none of ours."""
    text = str(error) if isinstance(error, SelfOccError) else f'{type(error).__name__}: {error}'
    return ' '.join(text.split('\n', 1)[0].split())


def _tensorrt(model_path: Path, threads: int | None, report: Report) -> ClosableBackend:
    from selfocc_core.backends.tensorrt import TensorRtBackend

    return TensorRtBackend(model_path, report=report)


def _onnxruntime_cuda(model_path: Path, threads: int | None, report: Report) -> ClosableBackend:
    from selfocc_core.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model_path, threads, cuda=True)


def _onnxruntime_cpu(model_path: Path, threads: int | None, report: Report) -> ClosableBackend:
    from selfocc_core.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model_path, threads)


_OPENERS: dict[str, Callable[[Path, int | None, Report], ClosableBackend]] = {
    'tensorrt': _tensorrt,
    'onnxruntime-cuda': _onnxruntime_cuda,
    'onnxruntime-cpu': _onnxruntime_cpu,
}
