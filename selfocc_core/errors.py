"""The one exception that a user is meant to read, and what others say."""

from __future__ import annotations


class SelfOccError(Exception):
    """Bad input, told in one sentence that names the thing and the remedy."""


def sentence_of(error: BaseException) -> str:
    """Return in one line what an error says, with its kind if it is none of ours."""
    text = str(error) if isinstance(error, SelfOccError) else f'{type(error).__name__}: {error}'
    return ' '.join(text.split('\n', 1)[0].split())
