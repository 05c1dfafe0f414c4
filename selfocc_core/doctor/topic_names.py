"""Which topic was probably meant: by the camera's name in it, then by likeness."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher, get_close_matches

_ALIKE = 0.75
_SYNONYMS = {'rear': 'back'}
_NOT_COLOR = 'depth'


def likely_topics(
    wanted: str, camera: str, cameras: Collection[str], candidates: Iterable[str]
) -> list[str]:
    """Return the candidates that name a camera, likeliest first.

    A candidate must have every word of the camera's name, up to a letter or so, and no word that
    only other cameras have: ``/camera/front_left/image`` is not meant by ``front``.

    Args:
        wanted: The topic that is looked for.
        camera: Its camera.
        cameras: All cameras.
        candidates: Topics that exist.
    """
    own = words(camera)
    foreign = {word for other in cameras for word in words(other)} - set(own)
    if _NOT_COLOR not in own:
        foreign.add(_NOT_COLOR)
    named = [topic for topic in candidates if _names(words(topic), own, foreign)]
    return sorted(named, key=lambda topic: (-likeness(wanted, topic), topic))


def similar_topics(wanted: str, candidates: Iterable[str], count: int = 3) -> list[str]:
    """Return a few candidates, those that look most like a topic first."""
    return sorted(candidates, key=lambda topic: (-likeness(wanted, topic), topic))[:count]


def likeness(one: str, other: str) -> float:
    """Return from 0 to 1 how much two names look alike."""
    return SequenceMatcher(None, one, other).ratio()


def words(name: str) -> list[str]:
    """Return the words of a name: ``/CAM_REAR/image`` has cam, back and image."""
    found = re.findall(r'[a-z]+|[0-9]+', name.lower())
    return [_SYNONYMS.get(word, word) for word in found]


def _names(found: list[str], own: Iterable[str], foreign: Collection[str]) -> bool:
    if any(word in foreign for word in found):
        return False
    return all(get_close_matches(word, found, 1, _ALIKE) for word in own)
