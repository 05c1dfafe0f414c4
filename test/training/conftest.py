from __future__ import annotations

import pytest
import small_run

from training.config import Preset
from training.data.clip import Clip


@pytest.fixture(autouse=True)
def one_thread():
    torch = pytest.importorskip('torch', reason='training needs torch')
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def small_preset() -> Preset:
    """A network that takes milliseconds, on the same principles as the shipped one."""
    return small_run.small_preset()


@pytest.fixture
def clip() -> Clip:
    """Random pixels along a straight drive."""
    return small_run.random_clip()
