"""Findings on the screen and as a file for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from selfocc_core.doctor.finding import Finding, Level

FORMAT = 1

_LABELS: dict[Level, str] = {'ok': 'OK   ', 'warning': 'WARN ', 'error': 'ERROR'}
_STYLES: dict[Level, str] = {'ok': 'green', 'warning': 'yellow', 'error': 'bold red'}


def show(checked: str, findings: Sequence[Finding], console: Console) -> None:
    """Print the findings about what was checked, and how many of each level there are.

    One line each, however long, so that commands in them can be copied.
    """
    for finding in findings:
        line = Text.assemble(
            *((_LABELS[finding.level], _STYLES[finding.level]), ' '),
            *((finding.subject, 'bold'), f': {finding.sentence}'),
        )
        console.print(line, soft_wrap=True)
    console.print(Text(f'{checked}: {summary(findings)}'), soft_wrap=True)


def summary(findings: Sequence[Finding]) -> str:
    """Return in words how many errors and warnings there are."""
    count = Counter(finding.level for finding in findings)
    errors, warnings = count['error'], count['warning']
    return (
        f'{errors or "no"} error{"" if errors == 1 else "s"}, '
        f'{warnings or "no"} warning{"" if warnings == 1 else "s"}'
    )


def to_json(checked: str, findings: Sequence[Finding]) -> bytes:
    """Return the findings as JSON: ``format``, ``checked``, and ``findings`` in order.

    Fields are only added between versions of this package; ``format`` changes otherwise.
    """
    content = {
        'format': FORMAT,
        'checked': checked,
        'findings': [asdict(finding) for finding in findings],
    }
    return (json.dumps(content, indent=2) + '\n').encode()
