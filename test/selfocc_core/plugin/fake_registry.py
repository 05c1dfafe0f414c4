"""As much of TensorRT's Python module as a plugin touches, and a GPU that is this processor.

TensorRT calls a Python plugin through C++: :class:`Bindings` does as the real ones do. A method
without a default must be there, and what a method raises goes to stderr and no further.
"""

from __future__ import annotations

import ctypes
import sys
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


# What the real bindings answer where a plugin has no such method; all others must be there.
DEFAULTS = {'get_valid_tactics': [], 'get_workspace_size': 0, 'destroy': None}
REFUSED = object()


class Bindings:
    """A plugin as TensorRT's C++ sees it."""

    def __init__(self, plugin: object) -> None:
        self.plugin = plugin

    def call(self, name: str, *arguments: object) -> object:
        """Return what a method returns, ``REFUSED`` where it raises."""
        try:
            method = getattr(self.plugin, name, None)
            if method is None and name in DEFAULTS:
                return DEFAULTS[name]
            if method is None:
                raise RuntimeError(f'no implementation provided for {name}()')
            return method(*arguments)
        except Exception as error:
            print(f'[ERROR] Exception thrown from {name}() {error}', file=sys.stderr)
            return REFUSED

    def build(self, inputs: list[Tensor], outputs: list[Tensor]) -> object:
        """Do what a builder does; return the fields for the engine, ``REFUSED`` if any refuses."""
        tensors, shapes = [*inputs, *outputs], [tensor.dims for tensor in inputs]
        return self._in_turn(
            ('get_capability_interface', 'build'),
            ('get_output_data_types', [tensor.type for tensor in inputs]),
            ('get_output_shapes', shapes, [], Expressions()),
            *(
                ('supports_format_combination', position, tensors, len(inputs))
                for position in range(len(tensors))
            ),
            ('get_valid_tactics',),
            ('configure_plugin', inputs, outputs),
            ('get_workspace_size', inputs, outputs),
            ('set_tactic', 0),
            ('clone',),
            ('get_fields_to_serialize',),
        )

    def prepare(self, inputs: list[Tensor], outputs: list[Tensor]) -> Bindings | object:
        """Do what making a context does; return its plugin, ``REFUSED`` if any refuses."""
        attached = self._in_turn(
            ('get_capability_interface', 'run'), ('clone',), ('attach_to_context', None)
        )
        if attached is REFUSED:
            return REFUSED
        context = Bindings(attached)
        prepared = context._in_turn(('set_tactic', 0), ('on_shape_change', inputs, outputs))
        return REFUSED if prepared is REFUSED else context

    def enqueue(self, inputs, outputs, pointers: list[int], stream: int) -> bool:
        """Run it once; return whether it did."""
        given, taken = pointers[: len(inputs)], pointers[len(inputs) :]
        return self.call('enqueue', inputs, outputs, given, taken, 0, stream) is not REFUSED

    def _in_turn(self, *calls: tuple) -> object:
        result: object = None
        for name, *arguments in calls:
            result = self.call(name, *arguments)
            if result is REFUSED or result is False:
                return REFUSED
        return result


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
