"""What a refusal must be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfocc_core.errors import SelfOccError


def refused(act: Callable[[], object], *words: str) -> None:
    """Check that something is refused in one printable sentence with these words."""
    with pytest.raises(SelfOccError) as caught:
        act()
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < 2000
    assert all(word in sentence for word in words), sentence
