"""Values from files, made safe to print."""

from __future__ import annotations

import math
from typing import Any

from trueward.console import visible


def printable(value: Any) -> Any:
    """A report with NaN replaced by None, and control characters, which a terminal obeys, and half surrogates made visible."""
    if isinstance(value, dict):
        return {printable(key): printable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [printable(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return visible(value) if isinstance(value, str) else value
