"""Versions of everything that inference can depend on."""

from __future__ import annotations

import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from selfocc_core import __version__
from selfocc_core.cuda.versions import runtime_version
from selfocc_core.device_check.report import Software


def software() -> Software:
    """Return the versions."""
    runtime = runtime_version()
    return Software(
        selfocc=__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        onnxruntime=_module_version('onnxruntime'),
        onnxruntime_providers=_providers(),
        tensorrt=_module_version('tensorrt'),
        cuda_python=_package_version('cuda-bindings'),
        pycuda=_package_version('pycuda'),
        cuda_runtime='{}.{}'.format(*runtime) if runtime else None,
        nvrtc=_compilers(),
    )


def _module_version(name: str) -> str | None:
    """Return the version that a module says of itself: a Jetson's come without a package."""
    try:
        return str(import_module(name).__version__)
    except (ImportError, AttributeError):
        return None


def _package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _providers() -> tuple[str, ...]:
    try:
        return tuple(import_module('onnxruntime').get_available_providers())
    except ImportError:
        return ()


def _compilers() -> tuple[str, ...]:
    from selfocc_core.plugin.nvrtc import find_compilers

    return tuple(sorted({compiler.version for compiler in find_compilers()}))
