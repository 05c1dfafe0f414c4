"""How long things take on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selfocc_core.device_check.report import Latency


@dataclass(frozen=True)
class Patience:
    """How long to measure: so many runs, or as many as fit into a time; at least three."""

    runs: int
    seconds: float


def measured(call: Callable[[], Mapping[str, float]], patience: Patience) -> tuple[Latency, ...]:
    """Return the latency of each stage of a call, and of all of it as ``total``.

    Args:
        call: Does it once, and returns how long its stages took in milliseconds.
        patience: How long to measure, after one run that does not count.
    """
    call()
    stages: dict[str, list[float]] = {}
    begin_s = time.perf_counter()
    for run in range(patience.runs):
        if run >= 3 and time.perf_counter() - begin_s > patience.seconds:
            break
        called_s = time.perf_counter()
        took_ms = dict(call())
        took_ms['total'] = (time.perf_counter() - called_s) * 1e3
        for stage, milliseconds in took_ms.items():
            stages.setdefault(stage, []).append(milliseconds)
    return tuple(_latency(stage, values) for stage, values in stages.items())


def _latency(stage: str, milliseconds: Sequence[float]) -> Latency:
    p50_ms, p95_ms = np.percentile(milliseconds, (50, 95))
    return Latency(stage=stage, p50_ms=float(p50_ms), p95_ms=float(p95_ms), runs=len(milliseconds))
