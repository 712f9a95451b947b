"""Values from files, made safe to print."""

from __future__ import annotations

import math
import re
from typing import Any


def printable(value: Any) -> Any:
    """A report with NaN replaced by None, and control characters, which a terminal obeys, and half surrogates made visible."""
    if isinstance(value, dict):
        return {printable(key): printable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [printable(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        visible = re.sub(r"[\x00-\x08\x0b-\x1f]", lambda m: chr(0x2400 + ord(m[0])), value.replace("\r\n", "\n"))
        return re.sub(r"[\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", visible)
    return value
