"""Labellers: 2-D networks, brought by the user, that give each pixel of an image a class."""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.frames import Image


class Labeller(Protocol):
    """Gives each pixel a class.

    Attributes:
        name: What it is, for the description of the labels it makes.
        classes: Names of its classes, in the order of its labels.
    """

    @property
    def name(self) -> str:
        """What it is."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes."""

    def label(self, image: Image) -> NDArray[np.uint8]:
        """Return the class of each pixel ``[H, W]`` of an RGB image ``[H, W, 3]``.

        What it is not sure of is 255, which is left out of training.
        """


def load_labeller(entry: str, classes: tuple[str, ...]) -> Labeller:
    """Return the labeller that a Python function makes.

    This imports and runs the code that the entry names: give only what you trust.

    Args:
        entry: ``package.module:factory``; ``factory(classes)`` returns the labeller.
        classes: Names of the preset's classes, in the order of their labels.

    Raises:
        SelfOccError: There is no such function, or its labeller has other classes.
    """
    module_name, _, factory_name = entry.partition(':')
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise SelfOccError(
            f'there is no labeller "{entry}" ({error}): give package.module:factory of an '
            'installed package'
        ) from error
    labeller: Labeller = factory(classes)
    if tuple(labeller.classes) != classes:
        raise SelfOccError(
            f'labeller {entry} has the classes {", ".join(labeller.classes)} but the preset has '
            f"{', '.join(classes)}: its factory gets the preset's classes and must keep them"
        )
    return labeller
