"""The one exception that a user is meant to read."""

from __future__ import annotations


class SelfOccError(Exception):
    """Bad input, told in one sentence that names the thing and the remedy."""
