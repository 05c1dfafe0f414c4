"""A tree of coordinate frames, as /tf_static spans it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import Transform, invert


@dataclass
class TransformTree:
    """The newest transform from each frame to its parent; frames without motion need no more."""

    _parents: dict[str, tuple[str, Transform]] = field(default_factory=dict)

    def set(self, parent: str, child: str, parent_from_child: Transform) -> None:
        """Put ``child`` below ``parent``, or move it there."""
        self._parents[child.lstrip('/')] = (parent.lstrip('/'), parent_from_child)

    def lookup(self, target: str, source: str) -> Transform:
        """Return ``target_from_source`` along the tree.

        Raises:
            SelfOccError: No chain of transforms connects the two frames.
        """
        to_target, to_source = self._chain(target.lstrip('/')), self._chain(source.lstrip('/'))
        for ancestor, ancestor_from_source in to_source.items():
            if ancestor in to_target:
                return invert(to_target[ancestor]) @ ancestor_from_source
        raise SelfOccError(
            f'no transform connects "{source}" with "{target}": publish it on /tf_static, or give '
            'a rig file'
        )

    def _chain(self, frame: str) -> dict[str, Transform]:
        """Return ``ancestor_from_frame`` for the frame itself and all above it."""
        chain = {frame: np.eye(4)}
        while frame in self._parents and self._parents[frame][0] not in chain:  # loops end
            parent, parent_from_child = self._parents[frame]
            chain[parent] = parent_from_child @ chain[frame]
            frame = parent
        return chain
