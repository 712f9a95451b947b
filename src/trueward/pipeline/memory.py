"""Peak memory of this process, and when malloc returns freed memory to the system."""

from __future__ import annotations

import ctypes
import resource
import sys


def peak_memory_mb() -> float:
    """Peak resident size in MB (10⁶ bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1)


# From glibc's malloc.h, and its defaults.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
MAPPED, TRIMMED = 65536, 128 << 10
NEVER = 2**31 - 1


def keep_what_is_freed() -> bool:
    """Have malloc keep freed memory for reuse; whether that could be set.

    glibc returns every freed block of 32 MB and more to the system, which hands it out again zeroed, a page at a time. A
    training step allocates and frees gradients, logits and activations of that size: on a model of 135 million weights that
    takes up to a third of its time.
    """
    return _tell({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: NEVER})


def give_back_what_is_freed(least: int = 1 << 20) -> bool:
    """Have malloc return freed blocks of `least` bytes and more to the system; whether that could be set.

    glibc keeps freed blocks of up to 32 MB, and activations of changing lengths leave gaps that nothing fits into: PPO with
    adapters then holds twice what it uses.
    """
    return _tell({M_MMAP_MAX: MAPPED, M_MMAP_THRESHOLD: least, M_TRIM_THRESHOLD: TRIMMED})


def as_at_first() -> bool:
    """Restore glibc's defaults; whether that could be set."""
    return _tell({M_MMAP_MAX: MAPPED, M_MMAP_THRESHOLD: TRIMMED, M_TRIM_THRESHOLD: TRIMMED})


def _tell(options: dict[int, int]) -> bool:
    try:
        malloc = ctypes.CDLL(None).mallopt
        return all([malloc(option, value) for option, value in options.items()])
    except (OSError, AttributeError, TypeError):  # another C library
        return False
