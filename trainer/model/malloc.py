"""Keep freed memory in the process: training asks for the same large buffers again and again.

glibc hands large blocks back to the system at once, and every new one then costs a page fault for each 4 KiB.
"""

from __future__ import annotations

import ctypes
import platform

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Parameter numbers of mallopt(3)."""


def keep_freed() -> bool:
    """Raise glibc's limits for returning memory; false where the C library is another."""
    return _set(_MMAP_THRESHOLD, 1 << 30) and _set(_TRIM_THRESHOLD, (1 << 31) - 1)


def return_freed() -> bool:
    """Let large blocks go back to the system at once: while a model is loaded and tried, they are asked for once."""
    return _set(_MMAP_THRESHOLD, 1 << 20)


def _set(number: int, value: int) -> bool:
    return platform.libc_ver()[0] == "glibc" and bool(ctypes.CDLL(None).mallopt(number, value))
