"""Errors that are one line for a user: what ran out, and the setting to change. Loads no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

# What allocators say: torch's on the CPU, CUDA's own and its libraries', Apple's, the kernel's.
PHRASES = (
    "can't allocate memory",
    "not enough memory: you tried to allocate",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
    "Cannot allocate memory",
)
WANTED = re.compile(r"allocate ([\d.]+ (?:bytes|[KMGT]i?B))")


class OutOfMemory(ValueError):  # noqa: N818  (the name that torch and CUDA give it)
    """Memory ran out; the message names the setting to change. The command line makes exit code 2 of it."""


def ran_out(error: BaseException) -> bool:
    """Whether an allocator's failure raised this: MemoryError, torch's OutOfMemoryError, or a RuntimeError that says so.

    >>> ran_out(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes"))
    True
    >>> ran_out(RuntimeError("shapes don't match"))
    False
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError | OSError) and any(phrase in str(error) for phrase in PHRASES)


def out_of_memory(error: BaseException, what: str, advice: str) -> OutOfMemory:
    """The one line for it. what: what didn't fit. advice: the setting to change."""
    found = WANTED.search(str(error))
    wanted = f" ({found[1]} more were asked for)" if found else ""
    return OutOfMemory(f"out of memory: {what} doesn't fit{wanted}; {advice}")


@contextmanager
def named_out_of_memory(what: str, advice: str) -> Iterator[None]:
    """What runs out of memory within this scope ends in one line, `OutOfMemory`; a scope further inside speaks first."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not ran_out(error):
            raise
        raise out_of_memory(error, what, advice) from error
