"""A labeller of the open-vocabulary segmenter CLIPSeg, through Hugging Face transformers.

CLIPSeg (Lüddecke and Ecker, CVPR 2022) says for a text and an image where the thing is. Here every
class is such a text, and a pixel gets the class that is likeliest there. It has been run against a
stand-in for transformers only, never with the real network.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from selfocc_core.errors import SelfOccError
from selfocc_core.frames import Image
from training.data.label_png import IGNORED

WEIGHTS = 'CIDAS/clipseg-rd64-refined'
LEAST_PROBABILITY = 0.2
"""Pixels at which no class is likelier get no label."""

PROMPTS: Mapping[str, str] = {
    'terrain': 'grass or soil',
    'vegetation': 'trees and bushes',
    'pole': 'a pole or a traffic sign',
    'pedestrian': 'a person',
    'vehicle': 'a car, a truck or a bus',
    'other': 'a fence, a box or a bench',
    'other_flat': 'a paved place',
}
"""Texts for classes whose names do not say enough; of others the name is the text."""


def clipseg(classes: tuple[str, ...]) -> ClipSeg:
    """Return the labeller, for ``labeller=training.data.clipseg:clipseg``.

    transformers fetches the weights at the first use.

    Raises:
        SelfOccError: transformers is not installed.
    """
    try:
        transformers = importlib.import_module('transformers')
    except ImportError as error:
        raise SelfOccError(
            'the labeller CLIPSeg needs transformers: pip install transformers pillow'
        ) from error
    return ClipSeg(
        classes,
        transformers.CLIPSegProcessor.from_pretrained(WEIGHTS),
        transformers.CLIPSegForImageSegmentation.from_pretrained(WEIGHTS),
    )


class ClipSeg:
    """CLIPSeg with a text for each class.

    Args:
        classes: Names of the classes.
        processor: Makes tensors of texts and images (``CLIPSegProcessor``).
        model: The network (``CLIPSegForImageSegmentation``).
    """

    name = 'CLIPSeg'

    def __init__(self, classes: tuple[str, ...], processor: Any, model: Any) -> None:
        self.classes, self._processor, self._model = classes, processor, model.eval()
        self._texts = [PROMPTS.get(name, name.replace('_', ' ')) for name in classes]

    def label(self, image: Image) -> NDArray[np.uint8]:
        """Return the likeliest class of each pixel ``[H, W]``, 255 where none is likely."""
        import torch

        inputs = self._processor(
            text=self._texts,
            images=[image] * len(self._texts),
            padding=True,
            return_tensors='pt',
        )
        with torch.no_grad():
            logits = self._model(**inputs).logits
        # One text gives [h, w]; the network sees the whole image as a square.
        maps = torch.sigmoid(logits).reshape(len(self._texts), *logits.shape[-2:]).float().numpy()
        height, width, _ = image.shape
        probabilities = np.stack([cv2.resize(m, (width, height)) for m in maps])
        likeliest = probabilities.argmax(0).astype(np.uint8)
        likely = probabilities.max(0) >= LEAST_PROBABILITY
        return np.asarray(np.where(likely, likeliest, IGNORED), np.uint8)
