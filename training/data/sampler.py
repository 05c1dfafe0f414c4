"""Training samples: an input frame set and the moments of the video that supervise it.

Method section 4 (temporal supervision). With the driven distance ``d`` between two frames, the
candidates of a frame are those with ``nearest <= d <= farthest`` before and after it; rays are
cast from an anchor, the frame itself or one of its candidates, into the field predicted for the
frame; pixels of the anchor are matched with the anchor's own candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfocc_core.errors import SelfOccError
from selfocc_core.transforms import transform_points
from training.config import TemporalConfig
from training.data.clip import Clip

# Per-camera sources: p(d) ~ exp(-(d - mu)^2 / (2 sigma^2)), section 4.
_GAUSSIAN_MEAN_M, _GAUSSIAN_DEVIATION_M = 0.5, 0.5
# The vehicle's body in its own frame (base_link: rear axle, on the ground), with a margin; the
# low edge keeps a clearance from the ground.
_BODY_MINIMUM_M = (-0.8, -0.75, 0.75)
_BODY_MAXIMUM_M = (3.6, 0.75, 1.45)
_SWEPT_FRAMES, _SWEPT_POINTS = 12, 512

_PREVIOUS, _CURRENT, _NEXT = -1, 0, 1


@dataclass(frozen=True, eq=False)
class View:
    """Images of one moment, seen from the ego frame of the input's reference stamp.

    Attributes:
        images: RGB ``[N, H, W, 3]`` uint8.
        image_from_ego: Projections ``[N, 3, 4]`` to pixels of these images, centres at integers.
        labels: Pseudo-labels, a class for each pixel ``[N, H, W]`` uint8; ``None`` without them.
    """

    images: Tensor
    image_from_ego: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Supervision:
    """A moment whose pixels are explained, and the moments they are matched with.

    All views have the size of the supervising images, which may be larger than the input.

    Attributes:
        anchor: Rays are cast from here.
        sources: Earlier and later views of the same cameras; each camera may have its own moment.
    """

    anchor: View
    sources: tuple[View, View]


@dataclass(frozen=True, eq=False)
class Sample:
    """One training sample.

    Attributes:
        current: The network's input.
        camera_mask: Which cameras the network gets ``[N]``.
        supervisions: Share of the rays and the moment that they are cast from. One entry with
            the share 1, or two of ``both_anchors``: the input's own moment and a neighbour.
        swept: Points ``[P, 3]`` that the vehicle's body passed, in the ego frame.
    """

    current: View
    camera_mask: Tensor
    supervisions: tuple[tuple[float, Supervision], ...]
    swept: Tensor

    def in_volume(self, ego_from_volume: Tensor) -> Sample:
        """Return the sample seen from the frame of the volume ``[4, 4]`` instead of the ego."""

        def move(view: View) -> View:
            return replace(view, image_from_ego=view.image_from_ego @ ego_from_volume)

        supervisions = tuple(
            (share, Supervision(move(s.anchor), (move(s.sources[0]), move(s.sources[1]))))
            for share, s in self.supervisions
        )
        # Of a rotation and a translation: x_volume = R^T (x_ego - t).
        swept = (self.swept - ego_from_volume[:3, 3]) @ ego_from_volume[:3, :3]
        return Sample(move(self.current), self.camera_mask, supervisions, swept)


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
        self.driven_m = {clip: clip.driven_m() for clip in clips}
        self.has_sources = {clip: self._has_sources(clip) for clip in clips}
        self.frames = [
            (clip, int(frame))
            for clip in clips
            for frame in np.flatnonzero(self.has_sources[clip])
        ]
        if not self.frames:
            raise SelfOccError(
                f'no frame of {_names(clips)} has earlier and later frames {config.nearest_m} m '
                'away: record while driving'
            )
        self.frames_by_side = {_CURRENT: self.frames} if config.both_anchors else self._by_side()

    def draw(self, step: int) -> Sample:
        """Return the sample of a training step, the same whenever it is asked for."""
        self.random = np.random.default_rng([self.seed, step])
        side = self._side()
        frames = self.frames_by_side[side]
        clip, frame = frames[self.random.integers(len(frames))]
        anchors = self._shared_anchors(clip, frame, side)
        return Sample(
            current=_input_view(clip, frame),
            camera_mask=self._mask(clip.images.shape[1]),
            supervisions=tuple(
                (share, self._supervision(clip, anchor, frame)) for share, anchor in anchors
            ),
            swept=self._swept(clip, frame),
        )

    def _by_side(self) -> dict[int, list[tuple[Clip, int]]]:
        """Return, for each side with a share, the frames that have an anchor there.

        A side is drawn before a frame, so that frames without an anchor on one side leave the
        shares of the sides as they are.
        """
        found = {
            side: [(c, f) for c, f in self.frames if len(self._anchors(c, f, side))]
            for side, share in self._shares().items()
            if share > 1e-9
        }
        found = {side: frames for side, frames in found.items() if frames}
        if not found:
            raise SelfOccError(
                'no frame of the video has an anchor at the distances of the preset: record '
                'longer drives, or raise --config.temporal.current-share'
            )
        return found

    def _shares(self) -> dict[int, float]:
        config = self.config
        return {
            _PREVIOUS: config.previous_share,
            _CURRENT: config.current_share,
            _NEXT: 1 - config.current_share - config.previous_share,
        }

    def _side(self) -> int:
        """Draw whether the anchor lies before, at or after the input."""
        sides = list(self.frames_by_side)
        if len(sides) == 1:
            return sides[0]
        shares = np.array([self._shares()[side] for side in sides])
        return int(self.random.choice(sides, p=shares / shares.sum()))

    def _shared_anchors(self, clip: Clip, frame: int, side: int) -> list[tuple[float, int]]:
        """Return anchors with the share of the rays that each gets."""
        if self.config.both_anchors:
            own = self.config.current_share
            return [(own, frame), (1 - own, self._neighbour(clip, frame))]
        return [(1.0, int(self.random.choice(self._anchors(clip, frame, side))))]

    def _anchors(self, clip: Clip, frame: int, side: int) -> NDArray[np.intp]:
        """Return the anchors of a frame on one side: candidates that have sources themselves."""
        candidates = self._candidates(clip, frame, side)
        return candidates[self.has_sources[clip][candidates]]

    def _neighbour(self, clip: Clip, frame: int) -> int:
        reach = self.config.anchor_reach
        near = range(max(0, frame - reach), min(len(clip), frame + reach + 1))
        neighbours = [n for n in near if n != frame and self.has_sources[clip][n]]
        return int(self.random.choice(neighbours)) if neighbours else frame

    def _distances_m(self, clip: Clip, frame: int) -> NDArray[np.float64]:
        """Return how far the vehicle drives from a frame to each frame ``[T]``, signed."""
        driven_m = self.driven_m[clip]
        return np.asarray(driven_m - driven_m[frame])

    def _candidates(self, clip: Clip, frame: int, side: int) -> NDArray[np.intp]:
        """Return the frames on one side within the driven distances of the configuration."""
        if side == _CURRENT:
            return np.array([frame])
        config = self.config
        farthest_m = config.farthest_previous_m if side < 0 else config.farthest_next_m
        distance_m = side * self._distances_m(clip, frame)
        return np.flatnonzero((distance_m >= config.nearest_m) & (distance_m <= farthest_m))

    def _has_sources(self, clip: Clip) -> NDArray[np.bool_]:
        """Return which frames ``[T]`` have candidates on both sides."""
        sides = (_PREVIOUS, _NEXT)
        return np.array(
            [all(len(self._candidates(clip, f, s)) for s in sides) for f in range(len(clip))]
        )

    def _supervision(self, clip: Clip, anchor: int, reference: int) -> Supervision:
        choose = {
            'gaussian': self._gaussian_sources,
            'nearest': self._nearest_sources,
            'log_uniform': self._log_uniform_sources,
        }[self.config.sources]
        earlier, later = choose(clip, anchor)
        cameras = clip.images.shape[1]
        return Supervision(
            anchor=_supervising_view(clip, np.full(cameras, anchor), reference),
            sources=(
                _supervising_view(clip, earlier, reference),
                _supervising_view(clip, later, reference),
            ),
        )

    def _gaussian_sources(self, clip: Clip, anchor: int) -> list[NDArray[np.intp]]:
        """Draw an earlier and a later frame for each camera of its own."""
        distance_m = np.abs(self._distances_m(clip, anchor))
        drawn = []
        for side in (_PREVIOUS, _NEXT):
            candidates = self._candidates(clip, anchor, side)
            deviations = (distance_m[candidates] - _GAUSSIAN_MEAN_M) / _GAUSSIAN_DEVIATION_M
            # Relative to the likeliest, so that far candidates do not all vanish.
            log_likelihood = -0.5 * deviations**2
            likelihood = np.exp(log_likelihood - log_likelihood.max())
            p = likelihood / likelihood.sum()
            drawn.append(self.random.choice(candidates, clip.images.shape[1], p=p))
        return drawn

    def _nearest_sources(self, clip: Clip, anchor: int) -> list[NDArray[np.intp]]:
        return self._sources_at(clip, anchor, 0.0)

    def _log_uniform_sources(self, clip: Clip, anchor: int) -> list[NDArray[np.intp]]:
        """Draw a distance: what is near needs a short way, distant ground a long one."""
        limits_m = self.config.nearest_m, self.config.farthest_source_m
        return self._sources_at(
            clip, anchor, float(np.exp(self.random.uniform(*np.log(limits_m))))
        )

    def _sources_at(self, clip: Clip, anchor: int, wanted_m: float) -> list[NDArray[np.intp]]:
        """Return the earlier and the later candidate that lie closest to a distance."""
        distance_m = np.abs(self._distances_m(clip, anchor))
        found = []
        for side in (_PREVIOUS, _NEXT):
            candidates = self._candidates(clip, anchor, side)
            closest = candidates[np.abs(distance_m[candidates] - wanted_m).argmin()]
            found.append(np.full(clip.images.shape[1], closest))
        return found

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


def _names(clips: Sequence[Clip]) -> str:
    names = [*dict.fromkeys(clip.name for clip in clips)]
    return ', '.join(names[:3]) + (f' and {len(names) - 3} others' if len(names) > 3 else '')


def _input_view(clip: Clip, frame: int) -> View:
    return View(
        images=torch.tensor(clip.images[frame]),  # a copy: those of kept video are read only
        image_from_ego=torch.from_numpy(clip.image_from_ego(frame, frame)),
    )


def _supervising_view(clip: Clip, frames: NDArray[np.intp], reference: int) -> View:
    """Return the image of each camera at a frame of its own."""
    cameras = np.arange(len(frames))
    labels = clip.supervision_labels
    return View(
        images=torch.from_numpy(clip.supervision_images[frames, cameras]),
        image_from_ego=torch.from_numpy(clip.supervision_image_from_ego(frames, reference)),
        labels=None if labels is None else torch.from_numpy(labels[frames, cameras]),
    )
