"""Deformable attention as a plugin of TensorRT 10.3 to 11 (``IPluginV3``).

While an engine is built, the plugin learns shapes and types, compiles its kernel for this GPU and
stores the machine code in the engine. At run time the kernel is loaded when a context is made, so
that ``enqueue`` only launches it.

TensorRT's Python classes exist only where TensorRT is installed: the methods are those of
``PluginMethods``, and ``plugin_class`` joins them with TensorRT's interfaces.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, ClassVar

from selfocc_core.errors import SelfOccError
from selfocc_core.onnx_operators import DOMAIN
from selfocc_core.onnx_operators import VERSION as OPERATORS_VERSION
from selfocc_core.plugin.last_error import keeping_error
from selfocc_core.plugin.launcher import LoadedKernel, compile_for_device, load_kernel
from selfocc_core.plugin.operand_shapes import specialization_of
from selfocc_core.plugin.plugin_fields import PluginState, arrays_of, plugin_fields
from selfocc_core.plugin.specialization import Operator, Specialization

NAMESPACE, VERSION = DOMAIN, str(OPERATORS_VERSION)
_INPUTS = {'MSDeformAttn': 3, 'SurroundDeformAttn': 5}


class PluginMethods:
    """All that TensorRT calls, under its names.

    Args:
        state: What the model or the engine says about this plugin.
    """

    trt: ClassVar[ModuleType]
    operator: ClassVar[Operator]

    def __init__(self, state: PluginState) -> None:
        for interface in _interfaces(self.trt):
            interface.__init__(self)
        self.plugin_name, self.plugin_version = self.operator, VERSION
        self.plugin_namespace, self.num_outputs = NAMESPACE, 1
        self.state = state
        self._loaded: LoadedKernel | None = None

    def get_capability_interface(self, kind: Any) -> PluginMethods:
        """Return the interface for building, running or describing: all are this object."""
        return self

    def clone(self) -> PluginMethods:
        """Return another plugin in the same state."""
        return type(self)(self.state)

    # Building.

    def get_output_data_types(self, input_types: Sequence[Any]) -> list[Any]:
        """Return the type of the result: that of the values."""
        return [input_types[0]]

    def get_output_shapes(
        self, inputs: Sequence[Any], shape_inputs: Sequence[Any], expressions: Any
    ) -> list[Any]:
        """Return the shape of the result, ``[B, Q, M * C]`` or ``[Q, M * C]``."""
        product = self.trt.DimensionOperation.PROD
        width = expressions.operation(product, inputs[0][2], inputs[0][3])
        batch = [inputs[0][0]] if self.operator == 'MSDeformAttn' else []
        return [self.trt.DimsExprs([*batch, inputs[1][1], width])]

    def supports_format_combination(
        self, position: int, tensors: Sequence[Any], inputs: int
    ) -> bool:
        """Return whether a tensor's type and layout fit those before it."""
        given = tensors[position].desc
        if given.format != self.trt.TensorFormat.LINEAR:
            return False
        return given.type in self._types(position, tensors[0].desc.type)

    @keeping_error
    def configure_plugin(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Learn shapes and types, and compile the kernel for them.

        Raises:
            SelfOccError: A shape is dynamic, the inputs do not fit each other, or there is no GPU
                or compiler.
        """
        self._specialize([tensor.desc for tensor in inputs])

    def get_workspace_size(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
        """Return the bytes of scratch memory: none."""
        return 0

    # Running.

    def set_tactic(self, tactic: int) -> None:
        """Take the way to compute that TensorRT chose: there is only one."""

    @keeping_error
    def attach_to_context(self, resources: Any) -> PluginMethods:
        """Return the plugin for a context, its kernel loaded."""
        attached = self.clone()
        attached._load()
        return attached

    @keeping_error
    def on_shape_change(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Prepare the kernel; nothing is compiled for the inputs that an engine was built for.

        Raises:
            SelfOccError: The inputs do not fit, or there is no GPU or compiler.
        """
        self._specialize(inputs)
        self._load()

    @keeping_error
    def enqueue(
        self,
        input_tensors: Sequence[Any],
        output_tensors: Sequence[Any],
        inputs: Sequence[int],
        outputs: Sequence[int],
        workspace: int,
        stream: int,
    ) -> None:
        """Launch the kernel.

        Raises:
            SelfOccError: It was never loaded, or CUDA refuses.
        """
        if self._loaded is None:
            raise SelfOccError(f'{self.operator} was run before its shapes were set')
        self._loaded.launch([*inputs, *outputs], stream)

    @keeping_error
    def get_fields_to_serialize(self) -> Any:
        """Return what the engine keeps, machine code included.

        Raises:
            SelfOccError: The plugin was never configured.
        """
        # TensorRT keeps pointers to names and arrays.
        self._arrays = arrays_of(self.state)
        self._fields = plugin_fields(self.trt, self._arrays)
        return self.trt.PluginFieldCollection(self._fields)

    def _specialize(self, inputs: Sequence[Any]) -> None:
        shapes = [tuple(tensor.dims) for tensor in inputs]
        types = [self._type_name(tensor.type) for tensor in inputs]
        if any(size < 0 for shape in shapes for size in shape):
            raise SelfOccError(
                f'{self.operator} takes static shapes, not {shapes}: export the model again'
            )
        kernel = specialization_of(self.operator, self.state.levels, shapes, types)
        if kernel != self.state.kernel:
            self._become(kernel)

    def _become(self, kernel: Specialization) -> None:
        self._loaded = None
        self.state = replace(self.state, kernel=kernel, cubin=compile_for_device(kernel))

    def _load(self) -> None:
        if self.state.kernel is not None and self._loaded is None:
            self._loaded = load_kernel(self.state.cubin, self.state.kernel)

    def _types(self, position: int, value: Any) -> tuple[Any, ...]:
        """Return the types that a tensor may have if the values have type ``value``."""
        single, half = self.trt.DataType.FLOAT, self.trt.DataType.HALF
        if position == 0:
            return single, half
        if position == _INPUTS[self.operator]:
            return (value,)
        if self.operator == 'SurroundDeformAttn' and position == 2:
            return (self.trt.DataType.INT32,)  # TensorRT gives plugins no bool
        is_weights = self.operator == 'MSDeformAttn' and position == 2
        return (single, value) if is_weights else (single,)

    def _type_name(self, kind: Any) -> str:
        types = self.trt.DataType
        names = {types.FLOAT: 'float32', types.HALF: 'float16', types.INT32: 'int32'}
        return names.get(kind, str(kind))


@functools.cache
def plugin_class(trt: ModuleType, operator: Operator) -> type[PluginMethods]:
    """Return the plugin of an operator as a class of some TensorRT."""
    bases = (PluginMethods, *_interfaces(trt))
    return type(f'{operator}Plugin', bases, {'trt': trt, 'operator': operator})


def _interfaces(trt: ModuleType) -> tuple[Any, ...]:
    return (
        trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime,
    )  # fmt: skip
