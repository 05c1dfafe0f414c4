from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from training.allocator import keep_freed_memory

FAULTS = """
import resource
from training.allocator import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
first = bytearray(16 << 20)
del first
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    block = bytearray(16 << 20)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, keep: bool) -> int:
    code = FAULTS.format(keep=keep)
    ran = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True)
    return int(ran.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='glibc has it')
def test_a_freed_block_is_used_again_without_page_faults():
    assert page_faults(keep=True) < 100 < page_faults(keep=False)


def test_a_c_library_without_the_option_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(ctypes, 'CDLL', lambda _: object())
    assert not keep_freed_memory()
