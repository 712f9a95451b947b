"""How much memory this process has taken at most."""

from __future__ import annotations

import ctypes
import resource
import sys


def peak_memory_mb() -> float:
    """Peak resident size in MB (10⁶ bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1)


# In glibc's malloc.h, and what it has at first.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
MAPPED, TRIMMED = 65536, 128 << 10
NEVER = 2**31 - 1


def keep_what_is_freed() -> bool:
    """What is freed stays with the process, for what is made next; whether malloc could be told so.

    glibc gives every block of 32 MB and more back to the system, which hands it out again full of zeros, a page at a time.
    A step of training makes and frees gradients, logits and activations of that size: on a model of 135 million weights it
    spends up to a third of its time on that.
    """
    return _tell({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: NEVER})


def give_back_what_is_freed(least: int = 1 << 20) -> bool:
    """Blocks of `least` bytes and more go back to the system when they are freed; whether malloc could be told so.

    glibc keeps freed blocks of up to 32 MB for itself, and activations of changing lengths leave holes that nothing fits into:
    a PPO with adapters then holds twice what it uses.
    """
    return _tell({M_MMAP_MAX: MAPPED, M_MMAP_THRESHOLD: least, M_TRIM_THRESHOLD: TRIMMED})


def as_at_first() -> bool:
    """Both undone: what glibc's malloc has when a process starts."""
    return _tell({M_MMAP_MAX: MAPPED, M_MMAP_THRESHOLD: TRIMMED, M_TRIM_THRESHOLD: TRIMMED})


def _tell(options: dict[int, int]) -> bool:
    try:
        malloc = ctypes.CDLL(None).mallopt
        return all([malloc(option, value) for option, value in options.items()])
    except (OSError, AttributeError, TypeError):  # another C library
        return False
