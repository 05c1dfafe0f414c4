"""What files and messages say of themselves, as an error may repeat it."""

from __future__ import annotations

from pydantic import ValidationError

_LONGEST = 200


def shown(text: object, longest: int = _LONGEST) -> str:
    """Return a text on one line, not too long, without characters that a terminal obeys.

    Args:
        text: The text, which may come from anywhere.
        longest: Characters of it that are kept.
    """
    line = str(text)
    kept = line if len(line) <= longest else f'{line[:longest]}...'
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in kept)


def first_problem(error: ValidationError) -> str:
    """Return in words what is wrong with a file, and where in it."""
    problem = error.errors(include_url=False, include_input=False)[0]
    place = '.'.join(str(part) for part in problem['loc']) or 'the file'
    return f'{shown(place)}: {shown(problem["msg"])}'
