"""What the doctor has to say: a list of findings, the most fundamental first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal['ok', 'warning', 'error']


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ``error`` keeps the node from working, ``warning`` makes it work worse.
        subject: What was looked at, for example ``camera front``.
        sentence: What is the matter with it, and the remedy.
    """

    level: Level
    subject: str
    sentence: str

    def __str__(self) -> str:
        return f'{self.subject}: {self.sentence}'


def ok(subject: str, sentence: str) -> Finding:
    """Return a finding that all is well."""
    return Finding('ok', subject, sentence)


def warning(subject: str, sentence: str) -> Finding:
    """Return a finding that something could be better."""
    return Finding('warning', subject, sentence)


def error(subject: str, sentence: str) -> Finding:
    """Return a finding that keeps the node from working."""
    return Finding('error', subject, sentence)


def first_error(findings: Iterable[Finding]) -> Finding | None:
    """Return the reason why nothing appears, ``None`` if no finding is an error."""
    return next((finding for finding in findings if finding.level == 'error'), None)
