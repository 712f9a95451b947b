"""How much memory this process has taken at most."""

from __future__ import annotations

import ctypes
import resource
import sys


def peak_memory_mb() -> float:
    """Peak resident size in MB (10⁶ bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1)


M_MMAP_THRESHOLD = -3  # in glibc's malloc.h


def give_back_what_is_freed(least: int = 1 << 20) -> bool:
    """Blocks of `least` bytes and more go back to the system when they are freed; whether malloc could be told so.

    glibc keeps freed blocks of up to 32 MB for itself, and activations of changing lengths leave holes that nothing fits into:
    a PPO with adapters then holds twice what it uses.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, least))
    except (OSError, AttributeError, TypeError):  # another C library
        return False
