"""The parameters of the node: one dataclass, and a small bridge that declares its fields."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from selfocc_core.backends.selection import AUTO, BACKENDS
from selfocc_core.cameras import nuscenes_like_rig
from selfocc_core.engine.parity import DEFAULT_PRECISION, PRECISIONS, Precision
from selfocc_core.errors import SelfOccError
from selfocc_core.shipped_model import shipped_model

_LONGEST_OFFSET_MS = 1000.0
_CHOICES: dict[str, tuple[str, ...]] = {
    'image_transport': ('raw', 'compressed'),
    'motion_source': ('odometry', 'tf'),
    'reference': ('anchor', 'first'),
    'backend': (AUTO, *BACKENDS),
    'engine_precision': tuple(PRECISIONS),
}


def _parameter(
    default: Any, description: str, limits: tuple[float, float] | None = None, live: bool = False
) -> Any:
    """Return a field: ``limits`` bound a number, ``live`` takes effect while the node runs."""
    metadata = {'description': description, 'limits': limits, 'live': live}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class NodeParameters:
    """What an integrator can set; the rest follows from the model card.

    Raises:
        SelfOccError: Two parameters contradict each other, or one has no meaning.
    """

    model: str = _parameter('', 'Model file (.onnx, card beside it); empty: the shipped model.')
    rig_file: str = _parameter(
        '', 'Calibration of all cameras (YAML); empty: camera_info and /tf_static.'
    )
    cameras: tuple[str, ...] = _parameter(
        nuscenes_like_rig().names,
        'Camera names, as in the topics; the first is the anchor that gives the stamp.',
    )
    image_transport: str = _parameter(
        'raw', 'raw: ~/input/<camera>/image; compressed: ~/input/<camera>/image/compressed.'
    )
    rectified: bool = _parameter(
        False, 'Images are rectified (image_rect): of camera_info P counts, not K and D.'
    )
    base_frame: str = _parameter(
        'base_link', "The vehicle's frame, on the ground: frame_id of all occupancy."
    )
    motion_source: str = _parameter(
        'odometry',
        'Motion between shutters: odometry: ~/input/odometry; tf: base_frame in fixed_frame.',
    )
    fixed_frame: str = _parameter(
        'odom', 'With motion_source tf: a frame that moves smoothly against the world.'
    )
    reference: str = _parameter(
        'anchor',
        "Whose shutter time is a frame set's stamp: anchor: the first camera's, if it is lost "
        "the next one's; first: that of whichever camera comes first.",
    )
    camera_offsets_ms: tuple[float, ...] = _parameter(
        (0.0,), "Each camera's shutter after the anchor's by design, in ms; just 0: none is later."
    )
    tolerance_ms: float = _parameter(
        60.0, "How far a camera's stamp may be from the anchor's, in ms.", (0.0, 1000.0), live=True
    )
    timeout_ms: float = _parameter(
        100.0, 'How long a frame set waits for late cameras, in ms.', (0.0, 10000.0), live=True
    )
    max_clock_skew_ms: float = _parameter(
        1000.0, "Stamps further from the other cameras' clocks are refused, in ms.", (1.0, 60000.0)
    )
    silent_after_ms: float = _parameter(
        500.0, 'A camera that sends nothing for so long counts as lost, in ms.', (10.0, 60000.0)
    )
    frozen_after: int = _parameter(
        5, 'So many equal images in a row make a camera count as frozen; 0: never.', (0, 1000)
    )
    minimum_cameras: int = _parameter(
        1, 'Frame sets with fewer usable images are dropped.', (1, 64)
    )
    height_band_low_m: float = _parameter(
        0.3, 'Lower end of the heights in ~/occupancy/grid, in m.', (-20.0, 20.0), live=True
    )
    height_band_high_m: float = _parameter(
        2.0, 'Upper end of the heights in ~/occupancy/grid, in m.', (-20.0, 20.0), live=True
    )
    publish_depth: bool = _parameter(
        True, 'Whether ~/<camera>/depth is published (to those who listen).', live=True
    )
    marker_limit: int = _parameter(
        0,
        'Voxels in ~/debug/markers at most; 0: no markers. For debugging.',
        (0, 100000),
        live=True,
    )
    save_folder: str = _parameter(
        '', 'Where ~/save_grid writes; empty: selfocc_grids in ROS_HOME or ~/.ros.', live=True
    )
    backend: str = _parameter(
        AUTO,
        f'Inference runtime: {", ".join(BACKENDS)}, or auto for the first of these that works.',
    )
    engine_precision: Precision = _parameter(  # noqa: RUF009  (ruff knows str, not a Literal)
        DEFAULT_PRECISION,
        f'Precision of a TensorRT engine: {", ".join(PRECISIONS)}; '
        'int8 needs selfocc build-engine --bag first.',
    )
    threads: int = _parameter(
        0, 'Threads of an inference runtime on the CPU; 0: all cores.', (0, 256)
    )
    autostart: bool = _parameter(
        False, 'Configure and activate at start, without a lifecycle manager.'
    )

    def __post_init__(self) -> None:
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise SelfOccError('parameter cameras must list each camera once, at least one')
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SelfOccError(
                    f'parameter {name} is "{getattr(self, name)}": give {_listed(choices)}'
                )
        self._check_cameras()
        self._check_paths()
        if self.minimum_cameras > len(self.cameras):
            raise SelfOccError(
                f'parameter minimum_cameras is {self.minimum_cameras}, but there are '
                f'{len(self.cameras)} cameras'
            )
        if self.height_band_low_m >= self.height_band_high_m:
            raise SelfOccError('parameter height_band_low_m must be below height_band_high_m')

    def _check_cameras(self) -> None:
        for name in self.cameras:
            if not re.fullmatch(r'[a-z][a-z0-9_]*', name):
                raise SelfOccError(
                    f'parameter cameras has "{name}": it becomes part of topic names, so use '
                    'lower case letters, digits and underscores'
                )
        offsets_ms = self.camera_offsets_ms
        if offsets_ms != (0.0,) and len(offsets_ms) != len(self.cameras):
            raise SelfOccError(
                f'parameter camera_offsets_ms has {len(offsets_ms)} values: give one for each of '
                'cameras'
            )
        if offsets_ms[0] != 0.0 or not all(abs(ms) <= _LONGEST_OFFSET_MS for ms in offsets_ms):
            raise SelfOccError(
                'parameter camera_offsets_ms must be 0 for the first camera, the anchor, and '
                f'within {_LONGEST_OFFSET_MS:g} ms for the others'
            )

    def _check_paths(self) -> None:
        for name in ('model', 'rig_file', 'save_folder'):
            try:
                Path(getattr(self, name)).expanduser()
            except RuntimeError as error:
                raise SelfOccError(
                    f'parameter {name} is "{getattr(self, name)}": {error}; give a full path'
                ) from error

    @property
    def offsets_ms(self) -> dict[str, float]:
        """How much each camera's shutter is after the anchor's by design."""
        several = len(self.camera_offsets_ms) == len(self.cameras)
        values = self.camera_offsets_ms if several else (0.0,) * len(self.cameras)
        return dict(zip(self.cameras, values, strict=True))

    @property
    def save_path(self) -> Path:
        """The folder for saved grids.

        Raises:
            SelfOccError: None is given and the user has no home.
        """
        if self.save_folder:
            return Path(self.save_folder).expanduser()
        try:
            home = Path(os.environ.get('ROS_HOME', '~/.ros')).expanduser()
        except RuntimeError as error:  # a container without a home
            raise SelfOccError(f'{error}: set the parameter save_folder') from error
        return home / 'selfocc_grids'

    @property
    def model_path(self) -> Path:
        """The model file: the given one, or the one shipped with the package."""
        return Path(self.model).expanduser() if self.model else shipped_model()


def declare_parameters(node: Node) -> None:
    """Declare every field on the node, with description and range."""
    for parameter in fields(NodeParameters):
        node.declare_parameter(
            parameter.name, _ros_value(parameter.default), descriptor(parameter)
        )


def read_parameters(node: Node) -> NodeParameters:
    """Return the node's present parameters.

    Raises:
        SelfOccError: A value is not acceptable.
    """
    values = {p.name: node.get_parameter(p.name).value for p in fields(NodeParameters)}
    return changed(NodeParameters(), values)


def changed(parameters: NodeParameters, values: Mapping[str, Any]) -> NodeParameters:
    """Return the parameters with some values replaced.

    Raises:
        SelfOccError: A value is not acceptable.
    """
    known = asdict(parameters).keys() & values.keys()
    plain: dict[str, Any] = {name: _plain_value(values[name]) for name in known}
    return replace(parameters, **plain)


def is_live(name: str) -> bool:
    """Return whether a parameter may change while the node is configured."""
    own = {parameter.name: parameter for parameter in fields(NodeParameters)}
    return name not in own or bool(own[name].metadata['live'])


def descriptor(parameter: Field[Any]) -> ParameterDescriptor:
    """Return what ``ros2 param describe`` shows of a field."""
    result = ParameterDescriptor(description=parameter.metadata['description'])
    if not parameter.metadata['live']:
        result.additional_constraints = 'Can change only while the node is unconfigured.'
    limits = parameter.metadata['limits']
    if limits and isinstance(parameter.default, int):
        bounds = IntegerRange(from_value=int(limits[0]), to_value=int(limits[1]), step=1)
        result.integer_range = [bounds]
    elif limits:
        result.floating_point_range = [
            FloatingPointRange(from_value=limits[0], to_value=limits[1])
        ]
    return result


def _listed(choices: Sequence[str]) -> str:
    return f'{", ".join(choices[:-1])} or {choices[-1]}'


def _ros_value(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default


def _plain_value(value: Any) -> Any:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return tuple(value) if is_list else value
