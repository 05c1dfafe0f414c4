"""Training samples: an input frame set and the moments of the video that supervise it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import transform_points
from training.data.clip import Clip
from training.presets import TemporalConfig

# The vehicle's body in its own frame (base_link: rear axle, on the ground), with a margin; the
# low edge keeps a clearance from the ground.
_BODY_MINIMUM_M = (-0.8, -0.75, 0.75)
_BODY_MAXIMUM_M = (3.6, 0.75, 1.45)
_SWEPT_FRAMES, _SWEPT_POINTS = 12, 512


@dataclass(frozen=True, eq=False)
class View:
    """Images of one moment, seen from the ego frame of the input's reference stamp.

    Attributes:
        images: RGB ``[N, H, W, 3]`` uint8.
        image_from_ego: Projections ``[N, 3, 4]``.
    """

    images: Tensor
    image_from_ego: Tensor


@dataclass(frozen=True, eq=False)
class Supervision:
    """A moment whose pixels are explained, and the moments they are matched with.

    Attributes:
        anchor: Rays are cast from here.
        sources: Earlier and later views of the same cameras.
    """

    anchor: View
    sources: tuple[View, View]


@dataclass(frozen=True, eq=False)
class Sample:
    """One training sample.

    Attributes:
        current: The network's input.
        camera_mask: Which cameras the network gets ``[N]``.
        supervisions: The input's own moment, and a neighbouring one (temporal supervision).
        swept: Points ``[P, 3]`` that the vehicle's body passed, in the ego frame.
    """

    current: View
    camera_mask: Tensor
    supervisions: tuple[Supervision, Supervision]
    swept: Tensor


class Sampler:
    """Draws samples from clips, always the same for a seed.

    Args:
        clips: The video.
        config: Which frames supervise.
        seed: Of the random choices.

    Raises:
        SelfOccError: In no clip does the vehicle drive far enough.
    """

    def __init__(self, clips: Sequence[Clip], config: TemporalConfig, seed: int) -> None:
        self.clips, self.config, self.seed = clips, config, seed
        self.random = np.random.default_rng(seed)
        self.candidates = [
            (clip, frame)
            for clip in clips
            for frame in range(len(clip))
            if self._sources_of(clip, frame, config.nearest_source_m) is not None
        ]
        if not self.candidates:
            raise SelfOccError(
                'no frame of the video has earlier and later frames '
                f'{config.nearest_source_m} m away: record while driving'
            )

    def draw(self, step: int) -> Sample:
        """Return the sample of a training step, the same whenever it is asked for."""
        self.random = np.random.default_rng([self.seed, step])
        clip, frame = self.candidates[self.random.integers(len(self.candidates))]
        anchor = self._neighbour(clip, frame)
        return Sample(
            current=_view(clip, frame, frame),
            camera_mask=self._mask(clip.images.shape[1]),
            supervisions=(
                self._supervision(clip, frame, frame),
                self._supervision(clip, anchor, frame),
            ),
            swept=self._swept(clip, frame),
        )

    def _neighbour(self, clip: Clip, frame: int) -> int:
        reach = self.config.anchor_reach
        near = range(max(0, frame - reach), min(len(clip), frame + reach + 1))
        shortest_m = self.config.nearest_source_m
        neighbours = [
            other
            for other in near
            if other != frame and self._sources_of(clip, other, shortest_m) is not None
        ]
        return int(self.random.choice(neighbours)) if neighbours else frame

    def _supervision(self, clip: Clip, anchor: int, reference: int) -> Supervision:
        limits_m = self.config.nearest_source_m, self.config.farthest_source_m
        wanted_m = float(np.exp(self.random.uniform(*np.log(limits_m))))
        sources = self._sources_of(clip, anchor, wanted_m)
        if sources is None:  # a neighbour is chosen only if it has them, and so is a candidate
            raise SelfOccError(f'{clip.name} has no frames to match frame {anchor} with')
        earlier, later = (_view(clip, source, reference) for source in sources)
        return Supervision(anchor=_view(clip, anchor, reference), sources=(earlier, later))

    def _sources_of(self, clip: Clip, frame: int, wanted_m: float) -> tuple[int, int] | None:
        """Return the earlier and the later frame about that far away; ``None`` without both."""
        distance_m = clip.driven_m() - clip.driven_m()[frame]
        earlier = np.flatnonzero(distance_m <= -self.config.nearest_source_m)
        later = np.flatnonzero(distance_m >= self.config.nearest_source_m)
        if not len(earlier) or not len(later):
            return None
        return (
            int(earlier[np.abs(distance_m[earlier] + wanted_m).argmin()]),
            int(later[np.abs(distance_m[later] - wanted_m).argmin()]),
        )

    def _mask(self, cameras: int) -> Tensor:
        present = np.ones(cameras, bool)
        if self.random.random() < self.config.camera_dropout:
            present[self.random.integers(cameras)] = False
        return torch.from_numpy(present)

    def _swept(self, clip: Clip, frame: int) -> Tensor:
        near = slice(max(0, frame - _SWEPT_FRAMES), frame + _SWEPT_FRAMES + 1)
        reference_from_ego = clip.reference_from_ego(frame)[near]
        body = self.random.uniform(_BODY_MINIMUM_M, _BODY_MAXIMUM_M, (_SWEPT_POINTS, 3))
        which = self.random.integers(len(reference_from_ego), size=_SWEPT_POINTS)
        points: NDArray[np.float64] = np.stack(
            [transform_points(reference_from_ego[w], p) for w, p in zip(which, body, strict=True)]
        )
        return torch.from_numpy(points.astype(np.float32))


def _view(clip: Clip, frame: int, reference: int) -> View:
    return View(
        images=torch.from_numpy(clip.images[frame]),
        image_from_ego=torch.from_numpy(clip.image_from_ego(frame, reference)),
    )
