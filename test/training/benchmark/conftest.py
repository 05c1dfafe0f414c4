from __future__ import annotations

import pytest

from training.benchmark.worlds import WorldSettings, cached_drive


@pytest.fixture(scope='session')
def small_worlds() -> WorldSettings:
    """Two moments in small images."""
    return WorldSettings(seconds=0.6, width=64, height=36)


@pytest.fixture(scope='session')
def cache(tmp_path_factory, small_worlds):
    """A cache that holds the drive through world 5."""
    folder = tmp_path_factory.mktemp('worlds')
    cached_drive(5, small_worlds, folder)
    return folder
