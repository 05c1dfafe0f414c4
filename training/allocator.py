"""Memory that is freed and soon needed again is kept."""

from __future__ import annotations

import ctypes

# Options of glibc's mallopt(3), and the largest block that it takes from the heap.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_HEAP_BLOCK, _KEPT_BYTES = 32 << 20, 1 << 30


def keep_freed_memory() -> bool:
    """Let the allocator keep up to 1 GiB of freed memory instead of giving it back at once.

    Every training step frees and takes the same large arrays; mapped anew, each page of them is
    cleared by the kernel first.

    Returns:
        Whether this C library can; others go on as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES) and mallopt(_MMAP_THRESHOLD, _LARGEST_HEAP_BLOCK)
    )
