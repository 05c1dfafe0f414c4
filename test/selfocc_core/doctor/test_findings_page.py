from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from selfocc_core.doctor.finding import error, first_error, ok, warning
from selfocc_core.doctor.page import show, summary, to_json

FINDINGS = [ok('bag', 'fine'), warning('tf', 'odd [bold]'), error('a', 'x' * 200), error('b', '2')]


def test_each_finding_is_one_line():
    file = io.StringIO()
    show('bag x', FINDINGS, Console(file=file, width=80))
    assert file.getvalue().splitlines() == [
        'OK    bag: fine',
        'WARN  tf: odd [bold]',
        f'ERROR a: {"x" * 200}',
        'ERROR b: 2',
        'bag x: 2 errors, 1 warning',
    ]


@pytest.mark.parametrize(
    ('findings', 'words'),
    [
        (FINDINGS[:1], 'no errors, no warnings'),
        (FINDINGS[:3], '1 error, 1 warning'),
        (FINDINGS[1:2] * 2, 'no errors, 2 warnings'),
    ],
)
def test_the_summary_counts(findings, words):
    assert summary(findings) == words


def test_the_first_error_is_the_reason():
    assert first_error(FINDINGS) == FINDINGS[2]
    assert first_error(FINDINGS[:2]) is None


def test_the_file_holds_all():
    content = json.loads(to_json('bag x', FINDINGS))
    assert (content['format'], content['checked'], len(content['findings'])) == (1, 'bag x', 4)
    assert content['findings'][1] == {
        'level': 'warning',
        'subject': 'tf',
        'sentence': 'odd [bold]',
    }
