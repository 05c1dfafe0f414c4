"""The verb ``selfocc device-check``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from selfocc_core.errors import SelfOccError

if TYPE_CHECKING:
    from rich.console import Console

    from selfocc_core.device_check.report import DeviceReport


@dataclass(frozen=True)
class DeviceCheck:
    """Find out what this machine can do with a model.

    Lists versions, compiles the plugins, compares an engine of every mode with the golden outputs,
    and measures every backend. Engines take minutes to build; the one that TensorRT would use is
    kept in the cache, nothing else is changed. Where there is no GPU, that is said, and the CPU is
    measured.

    Example: the shipped model; attach the file to an issue

        selfocc device-check --json device.json
    """

    model: Path | None = None
    """Model file (.onnx, card and golden file beside it); default is the shipped one."""
    json: Path | None = None
    """Write everything that was found to this file; its schema is selfocc_core.device_check."""
    precisions: tuple[Literal['fp16', 'fp32'], ...] = ('fp16', 'fp32')
    """Precisions of the engines."""
    runs: int = 100
    """Measure each backend in so many runs."""
    seconds: float = 20.0
    """Or in fewer, at least three, if they take longer than this."""

    def run(self) -> None:
        """Check, show and write.

        Raises:
            SelfOccError: An option has no meaning, the file cannot be written, or no backend runs
                the model.
        """
        from rich.console import Console

        from selfocc_core.device_check.page import show

        if self.runs < 3 or self.seconds <= 0:
            raise SelfOccError('--runs must be at least 3 and --seconds more than 0')
        console = Console()
        report = self._check(console)
        show(report, console)
        if self.json is not None:
            console.print(f'written to {self.json}')
        if report.chosen is None:
            raise SelfOccError('no backend runs the model on this machine: see the lines above')

    def _check(self, console: Console) -> DeviceReport:
        from rich.status import Status

        from selfocc_core.device_check.checker import Checker, Wishes
        from selfocc_core.device_check.timing import Patience
        from selfocc_core.shipped_model import shipped_model

        patience = Patience(self.runs, self.seconds)
        wishes = Wishes(self.model or shipped_model(), self.precisions, patience)
        with Status('', console=console) as status:
            return Checker(wishes, status.update, self._keep).run()

    def _keep(self, report: DeviceReport) -> None:
        from selfocc_core.files import write_atomically

        if self.json is not None:
            content = report.model_dump_json(indent=2) + '\n'
            write_atomically(self.json, content.encode())
