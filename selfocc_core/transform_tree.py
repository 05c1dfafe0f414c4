"""A tree of coordinate frames, as /tf_static spans it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np

from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Transform, invert

_MOST_FRAMES = 1000


@dataclass
class TransformTree:
    """The newest transform from each frame to its parent; frames without motion need no more."""

    _parents: dict[str, tuple[str, Transform]] = field(default_factory=dict)

    def set(self, parent: str, child: str, parent_from_child: Transform) -> None:
        """Put ``child`` below ``parent``, or move it there.

        Raises:
            SelfOccError: There are more frames than a vehicle has.
        """
        child = child.lstrip('/')
        if child not in self._parents and len(self._parents) >= _MOST_FRAMES:
            raise SelfOccError(
                f'there are already {_MOST_FRAMES} coordinate frames: frame "{child}" is ignored'
            )
        self._parents[child] = (parent.lstrip('/'), parent_from_child)

    def lookup(self, target: str, source: str) -> Transform:
        """Return ``target_from_source`` along the tree.

        Raises:
            SelfOccError: No chain of transforms connects the two frames.
        """
        to_target, to_source = self._chain(target.lstrip('/')), self._chain(source.lstrip('/'))
        ancestor = _common(to_target, to_source, target, source)
        return invert(to_target[ancestor]) @ to_source[ancestor]

    def path(self, target: str, source: str) -> list[str]:
        """Return the frames whose transforms to their parents ``lookup`` combines.

        Raises:
            SelfOccError: No chain of transforms connects the two frames.
        """
        to_target, to_source = self._chain(target.lstrip('/')), self._chain(source.lstrip('/'))
        ancestor = _common(to_target, to_source, target, source)
        return [
            frame
            for chain in (to_source, to_target)
            for frame in takewhile(lambda frame: frame != ancestor, chain)
        ]

    def _chain(self, frame: str) -> dict[str, Transform]:
        """Return ``ancestor_from_frame`` for the frame itself and all above it."""
        chain = {frame: np.eye(4)}
        while frame in self._parents and self._parents[frame][0] not in chain:  # loops end
            parent, parent_from_child = self._parents[frame]
            chain[parent] = parent_from_child @ chain[frame]
            frame = parent
        return chain


def _common(to_target: Iterable[str], to_source: Iterable[str], target: str, source: str) -> str:
    """Return the first frame above the source that is also above the target."""
    above_target = set(to_target)
    for ancestor in to_source:
        if ancestor in above_target:
            return ancestor
    raise SelfOccError(
        f'no transform connects "{source}" with "{target}": publish it on /tf_static, or give '
        'a rig file'
    )
