"""The plugins made known to TensorRT, before a model is parsed or an engine is read."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from selfocc_core.errors import SelfOccError
from selfocc_core.plugin.last_error import keeping_error
from selfocc_core.plugin.plugin import NAMESPACE, VERSION, PluginMethods, plugin_class
from selfocc_core.plugin.plugin_fields import SPATIAL_SHAPES, plugin_fields, state_from
from selfocc_core.plugin.specialization import Operator

_OPERATORS: tuple[Operator, ...] = ('MSDeformAttn', 'SurroundDeformAttn')


class CreatorMethods:
    """Makes the plugins of one operator (TensorRT's ``IPluginCreatorV3One``)."""

    trt: ClassVar[ModuleType]
    operator: ClassVar[Operator]

    def __init__(self) -> None:
        self.trt.IPluginCreatorV3One.__init__(self)
        self.name, self.plugin_version = self.operator, VERSION
        self.plugin_namespace = NAMESPACE
        # What the parser shall read of a node; an engine holds more.
        self._attributes = {SPATIAL_SHAPES: np.zeros(0, np.int32)}
        self._fields = plugin_fields(self.trt, self._attributes)
        self.field_names = self.trt.PluginFieldCollection(self._fields)

    @keeping_error
    def create_plugin(self, name: str, fields: Iterable[Any], phase: Any) -> PluginMethods:
        """Return a plugin of a node of a model, or of an engine.

        Raises:
            SelfOccError: The fields are not those of this version.
        """
        return plugin_class(self.trt, self.operator)(state_from(fields))


def register_plugins(trt: ModuleType) -> None:
    """Register the creators of both operators, if that has not been done.

    Args:
        trt: The module ``tensorrt``.

    Raises:
        SelfOccError: TensorRT is older than 10.3 or refuses.
    """
    if not hasattr(trt, 'IPluginCreatorV3One'):
        version = getattr(trt, '__version__', 'of unknown version')
        raise SelfOccError(
            f'TensorRT {version} has no plugins in Python: install 10.3 (JetPack 6) or newer'
        )
    for operator in _OPERATORS:
        _register(trt, operator)


@functools.cache
def _register(trt: ModuleType, operator: Operator) -> Any:
    """Register one creator, once, and keep it: the registry itself has a pointer only."""
    bases = (CreatorMethods, trt.IPluginCreatorV3One)
    creator = type(f'{operator}Creator', bases, {'trt': trt, 'operator': operator})()
    if not trt.get_plugin_registry().register_creator(creator, NAMESPACE):
        raise SelfOccError(f'TensorRT refuses the plugin {operator}: its log says why')
    return creator
