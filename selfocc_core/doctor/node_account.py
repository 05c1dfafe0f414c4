"""What a node says of itself on ``/diagnostics``, as the doctor's views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from selfocc_core.doctor.observation import CameraView, FrameSetsView

_NO_STATUS: Mapping[str, str] = {}
_DROPPED, _LOST, _OF_SET = 'dropped: ', 'lost: ', 'frame set '


@dataclass(frozen=True)
class NodeAccount:
    """One message of the node.

    Attributes:
        values: Key-values of each status, by its name without the node's.
        messages: The sentence of each status.
    """

    values: Mapping[str, Mapping[str, str]]
    messages: Mapping[str, str]

    @classmethod
    def read(cls, node: str, array: Any) -> NodeAccount | None:
        """Return what a ``DiagnosticArray`` says of a node; ``None`` if it is about others.

        Args:
            node: Name of the node, without its namespace.
            array: The message.
        """
        prefix = f'{node}: '
        own = {s.name.removeprefix(prefix): s for s in array.status if s.name.startswith(prefix)}
        if not own:
            return None
        values = {name: {pair.key: pair.value for pair in s.values} for name, s in own.items()}
        return cls(values, {name: status.message for name, status in own.items()})

    def cameras(self, names: Iterable[str]) -> dict[str, CameraView]:
        """Return the views of those cameras that something is said of."""
        views = {name: self._camera(name) for name in names}
        return {name: view for name, view in views.items() if view is not None}

    def _camera(self, name: str) -> CameraView | None:
        values = self.values.get(f'camera {name}')
        if values is None:
            return None
        is_missing = name in self._of('occupancy').get('cameras_missing', '').split(', ')
        return CameraView(
            received=_integer(values.get('received')),
            rate_hz=_number(values.get('rate_hz')) or 0.0,
            age_s=_number(values.get('age_s')),
            clock_offset_s=_number(values.get('clock_offset_s')),
            problem=self.messages[f'camera {name}'] if is_missing else None,
            calibration_problem=values.get('calibration'),
            dropped=_counts(values, _DROPPED),
        )

    @property
    def frame_sets(self) -> FrameSetsView:
        """The view of the frame sets."""
        inference = self._of('inference')
        return FrameSetsView(
            formed=_integer(inference.get('frame_sets')),
            published=_integer(inference.get('published')),
            in_progress=_integer(inference.get('in_progress')),
            lost=_counts(inference, _LOST),
            images_dropped=self._images_dropped(),
            age_s=_number(self._of('occupancy').get('age_s')),
        )

    @property
    def inference(self) -> str:
        """Model and backend in words; nothing if they are not said."""
        values = self._of('inference')
        if 'model' not in values or 'backend' not in values:
            return ''
        return f'{values["model"]} on {values["backend"]}'

    def topic(self, camera: str) -> str | None:
        """Return the topic of a camera's images, if it is said."""
        return self._of(f'camera {camera}').get('topic')

    def _of(self, status: str) -> Mapping[str, str]:
        return self.values.get(status, _NO_STATUS)

    def _images_dropped(self) -> Counter[str]:
        """Return the images that got into no frame set, by reason."""
        dropped: Counter[str] = Counter()
        for name, values in self.values.items():
            if name.startswith('camera '):
                dropped += Counter(_counts(values, _DROPPED))
        return Counter({r: count for r, count in dropped.items() if not r.startswith(_OF_SET)})


def _counts(values: Mapping[str, str], prefix: str) -> dict[str, int]:
    found = {
        key.removeprefix(prefix): _integer(value)
        for key, value in values.items()
        if key.startswith(prefix)
    }
    return {reason: count for reason, count in found.items() if count > 0}


def _number(text: str | None) -> float | None:
    """Return a number that another process has written; ``None`` if it is none."""
    try:
        return float(text or '')
    except ValueError:
        return None


def _integer(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
