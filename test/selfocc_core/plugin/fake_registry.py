"""As much of TensorRT's Python module as a plugin touches, and a GPU that is this processor."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

from kernel_on_host import build

from selfocc_core.plugin.specialization import Specialization


@dataclass
class Tensor:
    """``PluginTensorDesc``, and ``DynamicPluginTensorDesc`` with itself as ``desc``."""

    dims: tuple[int, ...]
    type: str
    format: str = 'linear'

    @property
    def desc(self) -> Tensor:
        return self


@dataclass
class Field:
    name: str
    data: object
    type: str


class Registry:
    def __init__(self) -> None:
        self.creators: dict[tuple[str, str, str], object] = {}

    def register_creator(self, creator, namespace) -> bool:
        key = (creator.name, creator.plugin_version, namespace)
        is_new = key not in self.creators
        self.creators.setdefault(key, creator)
        return is_new


class Expressions:
    """``IExprBuilder`` over plain numbers."""

    @staticmethod
    def operation(kind: str, left: int, right: int) -> int:
        assert kind == 'product'
        return left * right


def fake_tensorrt() -> ModuleType:
    """Return a new module with an empty registry."""
    trt, registry = ModuleType('fake_tensorrt'), Registry()
    interfaces = ('IPluginV3', 'IPluginV3OneCore', 'IPluginV3OneBuild', 'IPluginV3OneRuntime')
    for name in (*interfaces, 'IPluginCreatorV3One'):
        setattr(trt, name, type(name, (), {}))
    trt.DataType = SimpleNamespace(FLOAT='float', HALF='half', BOOL='bool', INT32='int')
    trt.TensorFormat = SimpleNamespace(LINEAR='linear', CHW4='chw4')
    trt.PluginFieldType = SimpleNamespace(INT32='int32', INT8='int8')
    trt.DimensionOperation = SimpleNamespace(PROD='product')
    trt.PluginField, trt.PluginFieldCollection, trt.DimsExprs = Field, list, list
    trt.get_plugin_registry = lambda: registry
    return trt


class HostDriver:
    """A ``CudaDriver`` whose machine code names a specialization and runs on this processor."""

    info = SimpleNamespace(architecture='sm_87')

    def __init__(self) -> None:
        self.modules: list[Specialization] = []
        self.is_current = False

    @contextmanager
    def current(self) -> Iterator[None]:
        self.is_current = True
        yield
        self.is_current = False

    def load_module(self, cubin: bytes) -> int:
        assert self.is_current
        self.modules.append(Specialization.from_json(cubin.decode()))
        return len(self.modules) - 1

    def function(self, module: int, name: str) -> int:
        assert name == self.modules[module].kernel
        return module

    def launch(self, function, grid, block, arguments, stream, shared_bytes=0) -> None:
        assert self.is_current
        assert grid[1:] == block[1:] == (1, 1)
        assert stream == 7
        pointers = (ctypes.c_void_p * len(arguments))(*map(int, arguments))
        build(self.modules[function]).run(grid[0], block[0], pointers)
