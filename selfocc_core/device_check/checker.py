"""The check: part by part, where one that fails does not keep the others."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from selfocc_core.backends.selection import BACKENDS
from selfocc_core.backends.tensorrt import DeviceEngineRunner, tensorrt_with_plugins
from selfocc_core.cuda.driver import open_driver
from selfocc_core.device_check.backends import checked_backend, preprocessing
from selfocc_core.device_check.engines import engine_modes
from selfocc_core.device_check.gpu import gpu, kernels
from selfocc_core.device_check.machine import machine
from selfocc_core.device_check.report import BackendCheck, DeviceReport, Failure, Model
from selfocc_core.device_check.software import software
from selfocc_core.device_check.timing import Patience
from selfocc_core.errors import SelfOccError, sentence_of
from selfocc_core.model_card import ModelCard

if TYPE_CHECKING:
    from selfocc_core.engine.parity import Precision

_BYTES_PER_KIB = 1024


@dataclass(frozen=True)
class Wishes:
    """What to check.

    Attributes:
        model_path: The ``.onnx`` file.
        precisions: Of the engines.
        patience: How long to measure.
    """

    model_path: Path
    precisions: tuple[Precision, ...]
    patience: Patience


class Checker:
    """Fills a report.

    Args:
        wishes: What to check.
        tell: Is told what is done.
        keep: Is given the report after every part, for a driver may end the process.
    """

    def __init__(
        self,
        wishes: Wishes,
        tell: Callable[[str], None] = lambda _: None,
        keep: Callable[[DeviceReport], None] = lambda _: None,
    ) -> None:
        self._wishes, self._tell, self._keep = wishes, tell, keep
        self.report = DeviceReport(created=datetime.now(timezone.utc).isoformat('T', 'seconds'))

    def run(self) -> DeviceReport:
        """Do every part and return the report."""
        self._part('model', self._model)
        self._part('machine', self._machine)
        self._part('software', self._software)
        self._part('GPU', self._gpu)
        if self.report.gpu is not None:
            self._part('plugin kernels', self._kernels)
            self._part('engines', self._engines)
        if self.report.model is not None:
            self._part('preprocessing', self._preprocessing)
            for name in BACKENDS:
                self._part(name, partial(self._backend, name))
        self.report.peak_memory_bytes = (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_PER_KIB
        )
        self.report.complete = True
        self._keep(self.report)
        return self.report

    def _part(self, name: str, check: Callable[[], None]) -> None:
        """Do one part; what it raises is recorded."""
        self._tell(name)
        try:
            check()
        except Exception as error:  # whatever is broken here is what the report is for
            failure = Failure(part=name, sentence=sentence_of(error))
            self.report.failures = (*self.report.failures, failure)
        self._keep(self.report)

    def _model(self) -> None:
        card = ModelCard.load_for(self._wishes.model_path)
        self.report.model = Model(
            name=card.name, version=card.version, onnx_sha256=card.onnx_sha256
        )

    def _machine(self) -> None:
        self.report.machine = machine()

    def _software(self) -> None:
        self.report.software = software()

    def _gpu(self) -> None:
        try:
            driver = open_driver()
        except SelfOccError as error:  # that there is none is a finding
            self.report.no_gpu = str(error)
            return
        with closing(driver):
            self.report.gpu = gpu(driver)

    def _kernels(self) -> None:
        with closing(open_driver()) as driver:
            self.report.kernels = kernels(driver)

    def _engines(self) -> None:
        from selfocc_core.engine.tensorrt_compiler import tensorrt_compiler

        tensorrt_with_plugins()
        with closing(open_driver()) as driver, driver.current():
            wishes, runner = self._wishes, DeviceEngineRunner(driver)
            for mode in engine_modes(
                wishes.model_path, wishes.precisions, tensorrt_compiler(), runner, self._tell
            ):
                self.report.engines = (*self.report.engines, mode)
                self._keep(self.report)

    def _preprocessing(self) -> None:
        card = ModelCard.load_for(self._wishes.model_path)
        self.report.preprocessing = preprocessing(card, self._wishes.patience)

    def _backend(self, name: str) -> None:
        try:
            check = checked_backend(name, self._wishes.model_path, self._wishes.patience)
        except Exception as error:  # that it does not work is a finding
            check = BackendCheck(name=name, works=False, reason=sentence_of(error))
        self.report.backends = (*self.report.backends, check)
        if check.works and self.report.chosen is None:
            self.report.chosen = name
