"""How far TensorRT has come with a build, which takes minutes on a vehicle."""

from __future__ import annotations

from typing import Any

from selfocc_core.engine.compiler import Progress


def progress_monitor(trt: Any, progress: Progress) -> Any:
    """Return a monitor for a builder configuration, that tells of the outermost phases.

    TensorRT calls it from its own threads, and stops the build if a step is answered with false.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._steps[phase_name] = num_steps
                progress(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._steps:
                progress(phase_name, step + 1, self._steps[phase_name])
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
