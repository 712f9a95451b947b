"""How much memory this process has taken at most."""

from __future__ import annotations

import resource
import sys


def peak_memory_mb() -> float:
    """Peak resident size in MB (10⁶ bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1)
