"""The report on one screen."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfocc_core.device_check.report import (
    BackendCheck,
    DeviceReport,
    EngineMode,
    Gpu,
    Kernel,
    Latency,
    Machine,
    Software,
)

_MIB, _GIB = 2**20, 2**30


def show(report: DeviceReport, console: Console) -> None:
    """Print a report."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style='bold', no_wrap=True)
    table.add_column()
    for name, text in rows(report):
        table.add_row(name, Text(text))
    console.print(table)


def rows(report: DeviceReport) -> list[tuple[str, str]]:
    """Return the lines of a report: what each is about, and what was found."""
    lines = []
    if report.model is not None:
        lines.append(('model', f'{report.model.name} {report.model.version}'))
    if report.machine is not None:
        lines.append(('machine', _machine(report.machine)))
    if report.software is not None:
        lines.append(('software', _software(report.software)))
    lines.append(('GPU', _gpu(report.gpu) if report.gpu else _no_gpu(report)))
    lines += [('kernel', _kernel(kernel)) for kernel in report.kernels]
    lines += [('engine', _engine(mode)) for mode in report.engines]
    if report.preprocessing is not None:
        lines.append(('preprocessing', _latency(report.preprocessing)))
    lines += [(check.name, _backend(check)) for check in report.backends]
    lines.append(('memory', f'{report.peak_memory_bytes / _MIB:.0f} MiB at most in this process'))
    lines += [('FAILED', f'{failure.part}: {failure.sentence}') for failure in report.failures]
    lines.append(('result', _result(report)))
    return lines


def _machine(machine: Machine) -> str:
    parts = [
        f'{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / _GIB:.1f} GiB',
        machine.system,
        f'Jetson Linux {machine.l4t}' if machine.l4t else '',
        f'power mode {machine.power_mode}' if machine.power_mode else '',
    ]
    return ', '.join(part for part in parts if part)


def _software(software: Software) -> str:
    found = {
        'selfocc': software.selfocc,
        'Python': software.python,
        'NumPy': software.numpy,
        'ONNX Runtime': software.onnxruntime,
        'TensorRT': software.tensorrt,
        'cuda-python': software.cuda_python,
        'pycuda': software.pycuda,
        'CUDA runtime': software.cuda_runtime,
        'NVRTC': ' and '.join(software.nvrtc) or None,
    }
    return ', '.join(f'{name} {version or "missing"}' for name, version in found.items())


def _gpu(gpu: Gpu) -> str:
    memory = 'shared memory' if gpu.integrated else 'memory'
    return (
        f'{gpu.name}, {gpu.architecture}, {gpu.multiprocessors} multiprocessors, {memory} '
        f'{gpu.free_bytes / _GIB:.1f} of {gpu.memory_bytes / _GIB:.1f} GiB free, '
        f'driver of CUDA {gpu.cuda_driver}, through {gpu.binding}'
    )


def _no_gpu(report: DeviceReport) -> str:
    return f'none: {report.no_gpu}' if report.no_gpu else 'could not be asked'


def _kernel(kernel: Kernel) -> str:
    loads = 'loads' if kernel.loads else 'DOES NOT LOAD'
    return (
        f'{kernel.operator} {kernel.precision}: {kernel.registers} registers, '
        f'{kernel.stack_bytes} bytes spilled, compiled in {kernel.compile_s:.1f} s, {loads}'
    )


def _engine(mode: EngineMode) -> str:
    largest = max((found.largest for found in mode.differences), default=None)
    off = f', differs by {largest:.1e} of the range at most' if largest is not None else ''
    verdict = 'accepted' if mode.accepted else f'REFUSED: {mode.reason}'
    return f'{mode.mode} {mode.precision}: built in {mode.build_s:.0f} s{off}, {verdict}'


def _backend(check: BackendCheck) -> str:
    if not check.works:
        return f'not usable: {check.reason}'
    parts = [check.detail, *map(_latency, check.latencies)]
    if check.device_memory_bytes is not None:
        parts.append(f'{check.device_memory_bytes / _MIB:.0f} MiB of the device')
    return ', '.join(part for part in parts if part)


def _latency(latency: Latency) -> str:
    return f'{latency.stage} {latency.p50_ms:.1f} ms (95 %: {latency.p95_ms:.1f})'


def _result(report: DeviceReport) -> str:
    if report.chosen is None:
        return 'no backend runs the model on this machine'
    suffix = '' if report.gpu else ' (there is no GPU)'
    return f'{report.chosen} runs the model{suffix}'
